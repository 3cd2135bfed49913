"""Health, metrics, public keys, and what happens while something is wrong with the daemon."""

import base64
from pathlib import Path

import structlog
from http_api import METRICS, REQUEST, api, problem
from make import webhook

from watcher.core.errors import StoreError
from watcher.core.secret import Secret
from watcher.core.signature import SigningKey


async def test_health_is_200_while_the_loops_turn_and_503_when_one_does_not(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answer = await served.get("/healthz")
        assert (answer.status, answer.json) == (200, {"status": "ok"})
        served.daemon.is_well = False
        answer = await served.get("/healthz")
        assert (answer.status, answer.json) == (503, problem(503, "a loop of the daemon does not turn"))


async def test_while_it_starts_or_stops_it_is_not_ready_and_takes_nothing_but_goes_on_showing(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        assert (await served.get("/readyz")).json == {"status": "ok"}
        await served.daemon.watch()
        served.daemon.is_ready = False
        answer = await served.get("/readyz")
        assert (answer.status, answer.json) == (503, problem(503, "the daemon is starting or stopping"))
        detail = "the daemon is starting or stopping, and takes no requests now"
        for method, path, body in [
            ("POST", "/v1/watches", {**REQUEST, "id": "another"}),
            ("DELETE", "/v1/watches/order-42", None),
            ("POST", "/v1/deliveries/replay", {"webhook": "ops", "since": "1h"}),
        ]:
            answer = await served.ask(method, path, body)
            assert (answer.headers["Retry-After"], answer.json) == ("2", problem(503, detail))
        assert await served.daemon.store.intents() == []
        assert [row.watch.id for row in await served.daemon.records.watches()] == ["order-42"]
        assert (await served.get("/v1/watches")).status == 200
        assert (await served.get("/healthz")).status == 200


async def test_while_there_is_no_room_new_requests_are_sent_away_and_a_watch_can_still_be_ended(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        served.daemon.lack = "7 watches are open"
        answer = await served.post("/v1/watches", {**REQUEST, "id": "another"})
        assert answer.headers["Retry-After"] == "10"
        assert answer.json == problem(503, "there is no room for more: 7 watches are open")
        assert (await served.ask("DELETE", "/v1/watches/order-42")).status == 202


async def test_metrics_are_prometheus_text(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answer = await served.get("/metrics", {"Accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1"})
        assert (answer.status, answer.type) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert answer.body == METRICS


async def test_the_public_keys_are_served_by_webhook_and_no_secret_is(tmp_path: Path) -> None:
    seed = bytes(range(32))
    async with api(tmp_path) as served:
        signing = Secret.literal(f"whsk_{base64.b64encode(seed).decode()}")
        served.backing.webhooks = {"ops": webhook(), "signed": webhook(signing_key=signing)}
        answer = await served.get("/.well-known/webhook-keys")
        assert answer.json == {"keys": {"signed": SigningKey(seed).public}}


async def test_a_store_that_is_behind_is_answered_503_with_when_to_come_again(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        served.daemon.records.failure = StoreError("the disk is full, at /var/lib/secret")
        answer = await served.get("/v1/events")
        assert answer.headers["Retry-After"] == "2"
        assert answer.json == problem(503, "the store is behind; try again")


async def test_requests_that_could_not_be_stored_are_answered_503(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.store.close()
        answer = await served.post("/v1/watches", REQUEST)
        assert answer.json == problem(503, "the store is behind; try again")


async def test_a_fault_of_ours_is_500_without_details_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        served.daemon.metrics = [RuntimeError("whsec_secret")]
        with structlog.testing.capture_logs() as lines:
            answer = await served.get("/metrics")
        assert answer.json == problem(500, "a fault of ours; the log has its traceback")
        assert lines == [
            {"event": "daemon.fault", "log_level": "error", "exc_info": True, "method": "GET", "path": "/metrics"}
        ]
        assert (await served.get("/metrics")).status == 200


async def test_a_stream_whose_store_fails_is_broken_off_and_can_be_taken_up_again(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        served.daemon.records.failure = StoreError("the disk is full")
        answer = await served.raw(b"GET /v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.count(b"HTTP/1.1") == 1
        assert not answer.endswith(b"0\r\n\r\n")


async def test_every_answer_tells_browsers_to_trust_it_with_nothing(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for path in ["/healthz", "/nothing", "/v1/watches", "/openapi.json", "/metrics"]:
            answer = await served.get(path, {"Origin": "https://example.com"})
            headers = {name.lower(): value for name, value in answer.headers.items()}
            del headers["date"], headers["content-length"], headers["content-type"]
            assert headers == {
                "server": "watcher",
                "cache-control": "no-store",
                "x-content-type-options": "nosniff",
                "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
                "cross-origin-resource-policy": "same-origin",
            }
