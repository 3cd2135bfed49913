"""The receiver judges as the reference verifier does, and `watcher listen` prints what came without trusting it."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import IO

import aiohttp
import forked
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from watcher.demo.pretend import serving
from watcher.demo.receiver import Arrival, Manners, Receiver
from watcher.demo.signature import fresh_secret, problem, read_key, signature
from watcher.demo.terminal import shown

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()


def event(
    *, sequence: int = 1, watch: str = "w-1", message: str | None = None, before: str = "sent", after: str = "delivered"
) -> bytes:
    data = {"watch": watch, "provider": "d7", "sequence": sequence, "message": message, "from": before, "to": after}
    return json.dumps({"type": "watch.status.changed", "timestamp": "…", "data": data}).encode()


def headers(body: bytes, *, id: str = "evt_1", secret: str = SECRET, attempt: int = 1) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, now, body.decode()),
        "watcher-attempt": str(attempt),
    }


# --- signatures -------------------------------------------------------------------------------------------------


def test_what_the_reference_signs_verifies() -> None:
    body = event()
    assert problem([read_key(SECRET)], headers=headers(body), body=body, now=time.time()) is None
    assert problem([read_key(OTHER), read_key(SECRET)], headers=headers(body), body=body, now=time.time()) is None


def test_what_we_sign_the_reference_verifies() -> None:
    body, timestamp = event(), str(int(time.time()))
    made = signature(read_key(SECRET), id="evt_1", timestamp=timestamp, body=body).decode()
    given = {"webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": f"v1a,AAAA {made}"}
    assert Webhook(SECRET).verify(body, given) == json.loads(body)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"webhook-id": ""}, "no webhook-id"),
        ({"webhook-timestamp": "", "webhook-signature": ""}, "no webhook-timestamp, webhook-signature"),
        ({"webhook-timestamp": "soon"}, "webhook-timestamp is no number of seconds"),
        ({"webhook-timestamp": "1000"}, r"webhook-timestamp is \+\d+ s away from now"),
        ({"webhook-timestamp": "99999999999"}, r"webhook-timestamp is -\d+ s away from now"),
        ({"webhook-id": "evt_2"}, "no signature matches"),
        ({"webhook-signature": "v1,AAAA"}, "no signature matches"),
        ({"webhook-signature": "v2,AAAA v1a,AAAA"}, "no signature matches"),
    ],
)
def test_what_the_reference_refuses_is_refused_with_a_reason(changed: Mapping[str, str], why: str) -> None:
    body = event()
    given = {**headers(body), **changed}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, given)
    assert re.fullmatch(why, problem([read_key(SECRET)], headers=given, body=body, now=time.time()) or "")


@pytest.mark.parametrize(
    ("given", "why"),
    [("signature", "no signature matches"), ("v1,\udcff", "no signature matches"), (" , ", "no signature matches")],
)
def test_an_odd_signature_is_no_surprise(given: str, why: str) -> None:
    body = event()
    wrong = {**headers(body), "webhook-signature": given}
    assert problem([read_key(SECRET)], headers=wrong, body=body, now=time.time()) == why


def test_another_body_or_another_secret_does_not_verify() -> None:
    body = event()
    assert (
        problem([read_key(SECRET)], headers=headers(body), body=body + b" ", now=time.time()) == "no signature matches"
    )
    assert problem([read_key(OTHER)], headers=headers(body), body=body, now=time.time()) == "no signature matches"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_???", SECRET.removeprefix("whsec_")])
def test_a_secret_that_is_none_is_named_without_its_value(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^expected whsec_ and the base64 of 24 to 64 bytes$"):
        read_key(secret)


def test_fresh_secrets_differ_and_are_of_use() -> None:
    assert len({read_key(fresh_secret()) for _ in range(8)}) == 8


# --- the receiver -----------------------------------------------------------------------------------------------


async def post(receiver: Receiver, *posts: tuple[bytes, Mapping[str, str]]) -> list[tuple[int, str | None]]:
    """Send one after the other; return status and Retry-After of each."""
    answers = []
    async with serving(receiver.application()) as url, aiohttp.ClientSession() as session:
        for body, given in posts:
            async with session.post(url + "/any/where", data=body, headers=given) as answer:
                answers.append((answer.status, answer.headers.get("Retry-After")))
    return answers


def judged(arrival: Arrival) -> tuple[int | None, int | None, int, str | None, bool, bool]:
    return (
        *(arrival.sequence, arrival.attempt, arrival.answered),
        *(arrival.problem, arrival.is_repeat, arrival.is_in_order),
    )


async def test_a_verified_post_is_taken_and_kept_whole() -> None:
    receiver, body = Receiver([SECRET]), event(message="m-1")
    assert await post(receiver, (body, headers(body, id="evt_7"))) == [(204, None)]
    [arrival] = receiver.arrivals
    assert (arrival.id, arrival.type, arrival.watch, arrival.provider) == ("evt_7", "watch.status.changed", "w-1", "d7")
    assert (arrival.message, arrival.before, arrival.after, arrival.body) == ("m-1", "sent", "delivered", body)
    assert judged(arrival) == (1, 1, 204, None, False, True)


async def test_a_post_that_does_not_verify_is_answered_401() -> None:
    receiver, body = Receiver([SECRET]), event()
    assert await post(receiver, (body, headers(body, secret=OTHER)), (body, {})) == [(401, None), (401, None)]
    assert [arrival.problem for arrival in receiver.arrivals] == [
        "no signature matches",
        "no webhook-id, webhook-timestamp, webhook-signature",
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"type": 7}', b'{"type": "batch", "data": []}', b"\xff\x00"])
async def test_a_body_that_is_no_event_is_kept_as_such(body: bytes) -> None:
    receiver = Receiver([SECRET])
    assert await post(receiver, (body, {})) == [(401, None)]
    [arrival] = receiver.arrivals
    assert (arrival.type, arrival.watch, arrival.body) == ("(not an event)", None, body)


async def test_the_first_posts_fail_and_their_retries_are_no_repeats() -> None:
    receiver = Receiver([SECRET], manners=Manners(fail=2, status=500, retry_after="5"))
    body = event()
    sent = [(body, headers(body, attempt=attempt)) for attempt in (1, 2, 3)]
    assert await post(receiver, *sent) == [(500, "5"), (500, "5"), (204, None)]
    assert [judged(arrival) for arrival in receiver.arrivals] == [
        (1, 1, 500, None, False, True),
        (1, 2, 500, None, False, True),
        (1, 3, 204, None, False, True),
    ]


async def test_every_post_is_answered_with_one_status_if_asked_for() -> None:
    receiver, body = Receiver([SECRET], manners=Manners(fail=None, status=410)), event()
    assert await post(receiver, (body, headers(body)), (body, headers(body))) == [(410, None), (410, None)]


async def test_a_repeat_and_a_disorder_are_seen() -> None:
    receiver = Receiver([SECRET])
    order = [("evt_1", 1, "w-1"), ("evt_3", 3, "w-1"), ("evt_1", 1, "w-1"), ("evt_2", 2, "w-1"), ("evt_9", 1, "w-2")]
    bodies = [(event(sequence=sequence, watch=watch), name) for name, sequence, watch in order]
    await post(receiver, *((body, headers(body, id=name)) for body, name in bodies))
    assert [(a.is_repeat, a.is_in_order) for a in receiver.arrivals] == [
        (False, True),
        (False, True),
        (True, True),
        (False, False),
        (False, True),
    ]


async def test_each_event_of_a_batch_arrives_by_itself_under_its_own_id() -> None:
    receiver = Receiver([SECRET])
    members = [{"id": f"evt_{sequence}", **json.loads(event(sequence=sequence))} for sequence in (1, 2)]
    body = json.dumps({"type": "batch", "timestamp": "…", "data": members}).encode()
    again = event(sequence=2)
    assert await post(receiver, (body, headers(body, id="bat_1")), (again, headers(again, id="evt_2"))) == [
        (204, None),
        (204, None),
    ]
    assert [(a.id, a.type, *judged(a)) for a in receiver.arrivals] == [
        ("evt_1", "watch.status.changed", 1, 1, 204, None, False, True),
        ("evt_2", "watch.status.changed", 2, 1, 204, None, False, True),
        ("evt_2", "watch.status.changed", 2, 1, 204, None, True, True),
    ]


# --- the command ------------------------------------------------------------------------------------------------


@contextmanager
def listening(*options: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """Run `watcher listen`; yield the process, its port, and the configuration that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "watcher", "listen", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )
    with process:
        try:
            printed = "".join(output(process).readline() for _ in range(5))
            yield process, int(re.findall(r'url = "http://127\.0\.0\.1:(\d+)/"', printed)[0]), printed
        finally:
            process.kill()


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def deliver(port: int, body: bytes, given: Mapping[str, str]) -> tuple[int, str | None]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/", body, dict(given))
    answer = connection.getresponse()
    connection.close()
    return answer.status, answer.getheader("Retry-After")


def test_listen_prints_what_to_paste_and_each_post_and_ends_well_on_ctrl_c() -> None:
    with listening() as (process, port, printed):
        [secret] = re.findall(r'secret = "(whsec_.*)"', printed)
        body = event(sequence=3, message="m-1")
        assert "[webhooks.listen]\n" in printed
        assert deliver(port, body, headers(body, secret=secret, attempt=2)) == (204, None)
        line = output(process).readline()
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d\.\d{3}  watch\.status\.changed  w-1 m-1  sent → delivered  "
            r"#3  attempt 2  ✓ verified  answered 204\n",
            line,
        )
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


def test_listen_misbehaves_as_asked_and_does_not_print_a_secret_that_it_was_given() -> None:
    options = ("--fail", "1", "--status", "429", "--retry-after", "5", "--slow", "1ms")
    with listening(*options, WATCHER_LISTEN_SECRET=SECRET) as (process, port, printed):
        body = event()
        assert 'secret = "env:WATCHER_LISTEN_SECRET"\n' in printed
        assert [deliver(port, body, headers(body)) for _ in range(2)] == [(429, "5"), (204, None)]
        assert "✓ verified  answered 429" in output(process).readline()
        process.terminate()
        rest, _ = process.communicate(timeout=20)
        assert (SECRET in printed + rest, process.returncode) == (False, 0)


def test_a_hostile_post_does_not_reach_the_terminal_raw() -> None:
    with listening() as (process, port, _):
        hostile = "\x1b]0;owned\x07\x1b[2J\r\u202e\x9b31m[bold]"
        body = event(watch=hostile, message=hostile, before=hostile, after=hostile)
        assert deliver(port, body, {"webhook-id": "x"})[0] == 401
        line = output(process).readline()
        assert "\\x1b]0;owned\\x07\\x1b[2J\\r\\u202e\\x9b31m[bold]" in line
        assert line.removesuffix("\n").isprintable()
        assert "✗ no webhook-timestamp, webhook-signature" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--secret", "whsec_short"), "expected whsec_ and the base64"),
        (("--retry-after", "5"), "needs --fail or --status"),
        (("--slow", "soon"), "expected a duration"),
        (("--port", "70000"), "65535"),
    ],
)
async def test_wrong_usage_ends_with_status_2(options: tuple[str, ...], said: str) -> None:
    ended = await forked.run("listen", *options, environ={})
    assert (ended.returncode, said in " ".join(ended.stderr.decode().split()), ended.stdout) == (2, True, b"")


async def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await forked.run("listen", "--port", str(port), environ={})
    assert ended.returncode == 1
    [line] = ended.stderr.decode().splitlines()
    assert f"cannot listen on 127.0.0.1:{port}: " in line


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "—"), ("plain [red]", "plain [red]"), (3, "3"), ("a\nb", "a\\nb"), ("x" * 61, "x" * 59 + "…")],
)
def test_what_strangers_sent_is_shown_on_one_short_line(value: object, text: str) -> None:
    assert shown(value) == text
