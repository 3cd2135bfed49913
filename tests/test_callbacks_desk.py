"""Requests with a callback, as they come in: what is taken, what is refused and why, and what is kept of it."""

from pathlib import Path

import orjson
import pytest
from make import SECRET, whsec
from structlog.testing import capture_logs
from worlds import SECTION

from watcher.clock import SystemClock
from watcher.core.addresses import Guard
from watcher.core.callbacks import Callbacks
from watcher.core.model import Callback, Json
from watcher.core.rows import Admission, Arrival
from watcher.core.webhook_section import Webhook
from watcher.intake import Desk, tell
from watcher.ports import Item
from watcher.providers.d7 import D7
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_records import SqliteRecords

OWN = b"canary, a secret of a caller"
THEIRS = whsec(OWN)
URL = "https://example.com/hook"
EXPECTED = "expected whsec_ and the base64 of 24 to 64 bytes; `watcher secret new` prints one"


def desk(callbacks: Callbacks | None) -> Desk:
    providers = {"d7": D7.model_validate(SECTION)}
    return Desk(providers, frozenset({"ops"}), SystemClock(), callbacks, Guard())


def request(**keys: Json) -> bytes:
    return orjson.dumps({"id": "a", "provider": "d7", "params": {"request_id": "9d05"}, **keys})


def read(raw: bytes, *, callbacks: Callbacks | None) -> Arrival:
    return desk(callbacks).read(Item(raw, "watches.jsonl:1"), source="inbox")


def section(**keys: object) -> Callbacks:
    return Callbacks.model_validate({"secret": SECRET, **keys})


def test_a_callback_goes_with_its_watch_and_its_secret_can_be_opened_by_the_section_alone() -> None:
    taken = read(request(callback_url=URL, callback_secret=THEIRS), callbacks=section())
    assert taken.watch is not None
    assert taken.watch.callback is not None
    webhook = section().towards(taken.watch.callback)
    assert isinstance(webhook, Webhook)
    assert (webhook.url, webhook.keys) == (URL, (OWN,))
    assert THEIRS not in repr(taken)
    assert THEIRS.encode() not in taken.raw


def test_a_request_without_a_callback_has_none() -> None:
    (plain, null) = (read(request(**keys), callbacks=section()).watch for keys in ({}, {"callback_url": None}))
    assert plain is not None
    assert null is not None
    assert (plain.callback, null.callback) == (None, None)


@pytest.mark.parametrize(
    ("keys", "callbacks", "reason"),
    [
        pytest.param(
            {"callback_url": URL},
            None,
            "callback_url: callbacks are off: the configuration has no [callbacks]",
            id="no-section",
        ),
        pytest.param(
            {"callback_url": "https://10.0.0.1/"},
            section(),
            "callback_url: 10.0.0.1 is a private address",
            id="a-private-address",
        ),
        pytest.param({"callback_url": 7}, section(), "callback_url: expected a string, got a number", id="a-number"),
        pytest.param(
            {"callback_secret": THEIRS}, section(), "callback_secret: expected a callback_url beside it", id="no-url"
        ),
        pytest.param(
            {"callback_url": URL, "callback_secret": "short"}, section(), f"callback_secret: {EXPECTED}", id="no-secret"
        ),
        pytest.param(
            {"callback_url": URL, "callback_secret": THEIRS},
            Callbacks(unsigned=True),
            "callback_secret: expected none: [callbacks] is unsigned, and has no key to keep it under",
            id="unsigned",
        ),
    ],
)
def test_what_is_refused_and_why(keys: dict[str, Json], callbacks: Callbacks | None, reason: str) -> None:
    refused = read(request(**keys), callbacks=callbacks)
    assert refused.watch is None
    assert refused.reason == reason


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_no_secret_of_a_caller_is_on_disk_or_in_the_log_whatever_becomes_of_the_request(tmp_path: Path) -> None:
    mine = {"callback_url": URL, "callback_secret": THEIRS}
    raws = [
        request(**mine),
        request(**mine, params={"request_id": "another"}),
        request(**mine, id="b", provider="nobody"),
        request(id="c", callback_secret=THEIRS),
        request(**mine, id="d")[:-1],
        b"[" + request(**mine, id="e") + b"]",
    ]
    arrivals = [read(raw, callbacks=section()) for raw in raws]
    store = await SqliteStore.open(tmp_path / "watcher.db")
    with capture_logs() as logs:
        admissions = await store.add(arrivals)
        for arrival, admission in zip(arrivals, admissions, strict=True):
            tell(arrival, admission)
    before = on_disk(tmp_path)
    records = await SqliteRecords.open(tmp_path / "watcher.db")
    rejected = await records.rejected()
    await records.close()
    await store.close()

    assert admissions == [Admission.NEW, Admission.CONFLICT, *[Admission.REJECTED] * 4]
    assert URL.encode() in before
    for secret in (THEIRS.encode(), OWN):
        assert secret not in before + on_disk(tmp_path)
    assert THEIRS not in str(logs)
    assert [b'"callback_secret":"********"' in row.raw for row in rejected] == [True] * 5


async def test_a_callback_is_in_the_store_as_it_was_taken(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "watcher.db")
    arrival = read(request(callback_url=URL), callbacks=section())
    await store.add([arrival])
    assert arrival.watch is not None
    stored = await store.watch(arrival.watch.uid)
    await store.close()
    assert stored is not None
    assert stored.callback == Callback(URL)
