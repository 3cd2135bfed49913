"""GET /v1/watches/{id}/next: what only the daemon knows of a watch; and the commands' way to ask for it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from http_api import NOW, STAMP, Served, api, problem
from raw_server import answer, for_ever, listening

from watcher.core.model import Reason
from watcher.core.secret import Secret
from watcher.http import client
from watcher.http.address import Tcp, Unix
from watcher.http.client import ask_next, ask_status
from watcher.http.models import Next
from watcher.http.standing import Concern, Status
from watcher.intake import Down
from watcher.lately import LastAnswer, Outlook

LAST = LastAnswer(NOW, "broken", 500, "a body that is no JSON", b'{"to": "Ann\xff', is_whole=False)
OUTLOOK = Outlook(
    due_at=NOW + timedelta(seconds=7),
    ahead=3,
    provider_free_at=NOW + timedelta(seconds=1),
    paused_until=NOW + timedelta(seconds=1),
    down=Reason.DENIED,
    failures=2,
    last_answer=LAST,
)
TOKEN = "canary-7f3a"


async def test_it_says_when_a_watch_is_asked_next_and_what_it_was_answered_last(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        served.daemon.outlooks["order-42"] = OUTLOOK
        told = await served.get("/v1/watches/order-42/next")
    assert told.json == {
        "id": "order-42",
        "provider": "d7",
        "due_at": "2026-11-23T12:00:07.123456Z",
        "in_flight": False,
        "ahead": 3,
        "provider_free_at": "2026-11-23T12:00:01.123456Z",
        "paused_until": "2026-11-23T12:00:01.123456Z",
        "down": "denied",
        "failures": 2,
        "last_answer": {
            "at": STAMP,
            "outcome": "broken",
            "http_status": 500,
            "detail": "a body that is no JSON",
            "body": '{"to": "Ann\\xff',
            "is_whole": False,
        },
    }


async def test_of_a_watch_that_nobody_asks_for_it_knows_nothing(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        told = await served.get("/v1/watches/order-42/next")
        unknown = await served.get("/v1/watches/order-43/next")
    nothing = dict.fromkeys(["due_at", "ahead", "provider_free_at", "paused_until", "down", "last_answer"])
    assert told.json == {"id": "order-42", "provider": "d7", "in_flight": False, "failures": 0, **nothing}
    assert unknown.json == problem(404, "there is no watch of this id")


@pytest.mark.parametrize("outlook", [Outlook(in_flight=True), Outlook(due_at=NOW), Outlook(last_answer=LAST)])
async def test_whatever_a_daemon_knows_of_a_watch_is_worth_telling(tmp_path: Path, outlook: Outlook) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        served.daemon.outlooks["order-42"] = outlook
        assert await asked(served) is not None


async def test_only_who_has_the_token_is_told(tmp_path: Path) -> None:
    async with api(tmp_path, token=TOKEN) as served:
        await served.daemon.watch()
        assert (await served.get("/v1/watches/order-42/next")).status == 401


# --- asking ---------------------------------------------------------------------------------------------------------


async def asked(served: Served, *, token: str | None = None, id: str = "order-42") -> Next | str:
    address = Tcp("127.0.0.1", served.server.port)
    return await ask_next(id, address=address, token=None if token is None else Secret.literal(token))


async def test_a_command_asks_by_tcp_and_by_unix_socket_with_the_token(tmp_path: Path) -> None:
    async with api(tmp_path, token=TOKEN) as served:
        await served.daemon.watch("a/b ü")
        served.daemon.outlooks["a/b ü"] = OUTLOOK
        told = await asked(served, token=TOKEN, id="a/b ü")
        assert isinstance(told, Next)
        assert (told.id, told.due_at, told.failures) == ("a/b ü", OUTLOOK.due_at, 2)
    address = Unix(tmp_path / "http.sock")
    async with api(tmp_path, address=address) as served:
        await served.daemon.watch()
        served.daemon.outlooks["order-42"] = replace(OUTLOOK, failures=5)
        told = await ask_next("order-42", address=address, token=None)
        assert isinstance(told, Next)
        assert told.failures == 5


async def test_a_command_is_told_which_sources_cannot_be_read(tmp_path: Path) -> None:
    async with api(tmp_path, token=TOKEN) as served:
        served.backing.down = lambda: {"inbox": Down(NOW - timedelta(hours=1), "No such file")}
        address = Tcp("127.0.0.1", served.server.port)
        told = await ask_status(address=address, token=Secret.literal(TOKEN))
        assert await ask_status(address=address, token=None) == f"{address} asks for an `api_token`"
    assert isinstance(told, Status)
    text = "cannot be read (No such file)"
    assert (told.is_well, told.concerns) == (
        False,
        [
            Concern(
                about="source",
                name="inbox",
                text=text,
                since=NOW - timedelta(hours=1),
                so=None,
                remedy="Mend what the reason names: it is tried again by itself",
            )
        ],
    )


async def test_why_there_is_no_good_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with api(tmp_path, token=TOKEN) as served:
        await served.daemon.watch()
        place = f"127.0.0.1:{served.server.port}"
        assert await asked(served) == f"{place} asks for an `api_token`"
        assert await asked(served, token="another") == f"{place} refuses this `api_token`"
        assert await asked(served, token=TOKEN, id="unknown") == f"{place} answers something else"
        assert await asked(served, token=TOKEN) == f"at {place} nobody polls it"
        gone = Tcp("127.0.0.1", served.server.port)
    assert await ask_next("order-42", address=gone, token=None) == f"nobody answers at {place}"
    unix = Unix(tmp_path / "nobody.sock")
    assert await ask_next("order-42", address=unix, token=None) == f"nobody answers at {unix}"
    async with listening(answer(b'{"id": 7}')) as other:
        address = Tcp("127.0.0.1", other.port)
        assert await ask_next("order-42", address=address, token=None) == f"{address} answers something else"
    monkeypatch.setattr(client, "WITHIN", 0.1)
    async with listening(for_ever(b"x: y\r\n", after=b"HTTP/1.1 200 OK\r\n", every=0.01)) as slow:
        address = Tcp("127.0.0.1", slow.port)
        assert await ask_next("order-42", address=address, token=None) == f"no answer from {address} within a second"
