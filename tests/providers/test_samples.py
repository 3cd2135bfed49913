"""Every recorded answer means what its file says: samples/<provider>/<case>.json, asked by samples/<provider>.json.

A sample is `{"params", "status", "headers", "body", "meaning"}`; a body that is a string is raw text, any other is
sent as JSON. `section` overrides keys of the section; `after` says which `Ask` the answer follows; `source` says
where the answer was found. `meaning` is the whole outcome by its kind, such as `{"throttled": {"retry_after": 30}}`:
fields that have their default, and an `http_status` that is the answer's own, are left out; a message is
`[key, status, state, detail]`, and `[key, status, state]` without detail; durations are seconds.
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import orjson
import pytest
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from watcher.core.model import Message, Observation, State
from watcher.core.outcome import Ask, Seen
from watcher.core.wire import Request, Response
from watcher.ports import Provider
from watcher.providers import ProviderSection

FOLDER = Path(__file__).parent / "samples"
RECEIVED_AT = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
Plain: TypeAlias = "JsonValue | list[Plain] | dict[str, Plain]"


class After(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str
    method: str = "GET"
    known: dict[str, JsonValue] | None = None

    def ask(self) -> Ask:
        return Ask(Request(self.method, self.url), None if self.known is None else observation(self.known))


class Sample(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str = ""
    section: dict[str, JsonValue] = {}
    params: dict[str, JsonValue]
    after: After | None = None
    status: int = 200
    headers: dict[str, str] = {}
    body: JsonValue = ""
    meaning: JsonValue

    @property
    def response(self) -> Response:
        body = self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)
        return Response(self.status, self.headers, body, RECEIVED_AT)


def provider(type: str, **section: JsonValue) -> Provider:
    base = orjson.loads((FOLDER / f"{type}.json").read_bytes())
    adapter: TypeAdapter[Provider] = TypeAdapter(ProviderSection)
    return adapter.validate_python({"type": type, **base, **section})


def observation(known: dict[str, JsonValue]) -> Observation:
    status, state, progress = known.get("status"), known.get("state"), known.get("progress")
    return Observation(
        status=None if status is None else str(status),
        state=None if state is None else State(str(state)),
        progress=progress if isinstance(progress, int | float) else None,
    )


def meaning(outcome: object, *, http_status: int) -> dict[str, Plain]:
    said = plain(outcome)
    assert isinstance(said, dict)
    if said.get("http_status") == http_status:
        del said["http_status"]
    if isinstance(outcome, Seen):
        observed = said.pop("observation")
        assert isinstance(observed, dict)
        said = {**observed, **said}
    return {type(outcome).__name__.lower(): said}


def plain(value: object) -> Plain:
    if isinstance(value, Message):
        return [value.key, str(value.status), str(value.state), *([dict(value.detail)] if value.detail else [])]
    if is_dataclass(value):
        return {
            field.name: plain(getattr(value, field.name))
            for field in fields(value)
            if getattr(value, field.name) != default(field)
        }
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode()
    said: Plain = orjson.loads(orjson.dumps(value))
    return said


def default(field: Field[object]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_answer_means_what_its_file_says(path: Path) -> None:
    sample = Sample.model_validate_json(path.read_bytes())
    account = provider(path.parent.name, **sample.section)
    account.check(sample.params)
    after = sample.after.ask() if sample.after else None

    outcome = account.parse(sample.params, sample.response, after=after)

    assert meaning(outcome, http_status=sample.status) == sample.meaning
