"""Receivers that give back what they were sent: an attempt keeps none of our secrets (SPEC, section 7.5)."""

from make import START, webhook

from watcher.core.secret import Secret
from watcher.core.webhook import unechoed
from watcher.core.wire import Fault, NoAnswer, Request, Response

HEADERS = {"authorization": Secret.literal("Bearer canary"), "x-pin": Secret.literal("1234"), "x-team": "operations"}
REQUEST = Request("POST", "https://example.com/hook", {"webhook-signature": "v1,c2lnbmVk", "webhook-id": "evt_0"})


def kept(status: int, headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    answer = unechoed(Response(status, headers, body, START), REQUEST, webhook=webhook(headers=HEADERS))
    assert isinstance(answer, Response)
    assert answer.status == status
    return dict(answer.headers), answer.body


def test_secrets_that_come_back_in_a_failure_are_masked() -> None:
    said = {"x-echo": "Bearer canary", "server": "operations"}
    body = b'{"authorization": "Bearer canary", "token": "canary", "signature": "v1,c2lnbmVk", "id": "evt_0"}'
    masked = b'{"authorization": "********", "token": "********", "signature": "********", "id": "evt_0"}'
    assert kept(500, said, body) == ({"x-echo": "********", "server": "operations"}, masked)


def test_what_is_too_short_to_be_told_from_other_words_is_left() -> None:
    assert kept(422, {}, b"1234 is no amount") == ({}, b"1234 is no amount")


def test_of_a_success_nothing_is_kept_and_nothing_masked() -> None:
    assert kept(200, {"x-echo": "Bearer canary"}, b"canary") == ({"x-echo": "Bearer canary"}, b"canary")


def test_no_answer_gives_nothing_back() -> None:
    silence = NoAnswer(Fault.TIMEOUT, "no whole answer in time")
    assert unechoed(silence, REQUEST, webhook=webhook(headers=HEADERS)) is silence


def test_an_unsigned_post_has_no_signature_to_come_back() -> None:
    answer = Response(500, {}, b"v1,c2lnbmVk ********", START)
    assert unechoed(answer, Request("POST", REQUEST.url), webhook=webhook(secret=[], unsigned=True)) == answer
