"""/openapi.json: that it says what is there, and that what is there does as it says, tried by schemathesis."""

import sys
from pathlib import Path
from typing import Any

import anyio
from http_api import Served, api
from pydantic import TypeAdapter

from watcher.core.model import Json

TRY = (
    *("--phases", "coverage,fuzzing", "--max-examples", "10", "--max-failures", "5", "--seed", "42"),
    *("--generation-database", "none", "--request-timeout", "10"),
)
CONFIG = """
[checks]
use_after_free.enabled = false  # DELETE cancels, and the watch is still shown

[[operations]]
include-name = "POST /v1/watches"
checks.negative_data_rejection.expected-statuses = [200, 400, 415, 422]

[[operations]]
include-name = "GET /v1/deliveries"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400]

[[operations]]
include-name = "GET /v1/watches"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400]

[[operations]]
include-method = "POST"
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 409, 422]
"""


async def test_schemathesis_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    async with api(tmp_path) as served:
        await populate(served)
        served.server._api.stop()  # so that what would wait or stream for long ends at once
        with anyio.fail_after(60):
            tried = await anyio.run_process(
                [str(Path(sys.executable).parent / "schemathesis"), "run", f"{served.url}/openapi.json", *TRY],
                check=False,
                cwd=tmp_path,
            )
    told = "\n".join(line[:500] for line in tried.stdout.decode().splitlines())
    assert tried.returncode == 0, told


async def test_every_route_is_described_with_what_it_answers_and_no_other(tmp_path: Path) -> None:
    async with api(tmp_path, token="a-token") as served:
        answer = await served.get("/openapi.json", {"Authorization": "Bearer a-token"})
    always = [400, 401, 406, 421, 500, 503]
    public = [400, 406, 421, 500, 503]
    assert {name: operation["responses"] for name, operation in operations(answer.json).items()} == {
        "POST /v1/watches": {200, 201, 202, 404, 408, 409, 413, 415, 422, *always},
        "GET /v1/watches": {200, *always},
        "GET /v1/watches/{id}": {200, 404, *always},
        "GET /v1/watches/{id}/next": {200, 404, *always},
        "DELETE /v1/watches/{id}": {200, 202, 404, *always},
        "GET /v1/events": {200, *always},
        "GET /v1/events/stream": {200, *always},
        "GET /v1/deliveries": {200, *always},
        "POST /v1/deliveries/replay": {202, 408, 413, 415, 422, *always},
        "GET /v1/status": {200, *always},
        "GET /v1/webhooks": {200, *always},
        "POST /v1/webhooks/{name}/enable": {202, 404, 408, 413, 415, 422, *always},
        "POST /v1/webhooks/{name}/disable": {202, 404, 408, 413, 415, 422, *always},
        "GET /metrics": {200, *always},
        "GET /openapi.json": {200, *always},
        "GET /healthz": {200, *public},
        "GET /readyz": {200, *public},
        "GET /.well-known/webhook-keys": {200, *public},
        "GET /": {200, *public},
    }


async def test_parameters_are_described_with_their_bounds(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        described = operations((await served.get("/openapi.json")).json)
    assert "security" not in described["GET /v1/watches"]
    assert described["GET /v1/events/stream"]["parameters"] == [
        {
            "name": "after",
            "in": "query",
            "required": False,
            "schema": {
                "type": "integer",
                "minimum": 0,
                "maximum": 9223372036854775807,
                "default": 0,
                "title": "After",
                "description": "Show what is behind it.",
            },
        },
        {
            "name": "watch",
            "in": "query",
            "required": False,
            "schema": {"type": "string", "title": "Watch", "description": "The id of one watch."},
        },
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "schema": {
                "type": "integer",
                "minimum": 0,
                "maximum": 9223372036854775807,
                "title": "Last-Event-Id",
                "description": "Show what is behind it.",
            },
        },
    ]


def operations(document: Json) -> dict[str, Any]:
    """Return the operations by method and path, with the statuses of their answers."""
    assert isinstance(document, dict)
    found: dict[str, Any] = {}
    for path, methods in TypeAdapter(dict[str, dict[str, Any]]).validate_python(document["paths"]).items():
        for method, operation in methods.items():
            found[f"{method.upper()} {path}"] = {**operation, "responses": {int(key) for key in operation["responses"]}}
    return found


async def populate(served: Served) -> None:
    for name in ["order-42", "0"]:
        await served.daemon.watch(name)
        await served.daemon.change(name)
