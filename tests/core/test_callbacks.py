"""Where callers may have their events sent to, under which name, and how their secrets are kept."""

import sys
from collections.abc import Mapping
from datetime import timedelta

import orjson
import pytest
from make import KEY, SECRET, START, delivery, event, whsec
from pydantic import ValidationError
from standardwebhooks import Webhook as Verifier

from watcher.core.addresses import Guard
from watcher.core.callbacks import Callbacks, origin
from watcher.core.errors import RequestError
from watcher.core.model import Callback, EventType
from watcher.core.request import WatchRequest, masked, read_request
from watcher.core.seal import NONCE, Seal
from watcher.core.webhook import post
from watcher.core.webhook_section import Terms, Webhook
from watcher.core.wire import Fault, NoAnswer, Request

URL = "https://example.com/hook?token=1"
THEIRS = whsec(b"canary, a secret of a caller")
ASKED = {"provider": "d7", "params": {"request_id": "9d05"}}
NONCE_1, NONCE_2 = bytes(range(NONCE)), bytes(range(NONCE, 2 * NONCE))


def callbacks(**section: object) -> Callbacks:
    return Callbacks.model_validate({"secret": SECRET, **section})


def take(section: Callbacks, url: str, secret: str | None = None, *, guard: Guard | None = None) -> Callback:
    return section.take(url, secret, nonce=NONCE_1, guard=guard)


def refusal(section: Callbacks, url: str, secret: str | None = None, *, guard: Guard | None = None) -> str:
    with pytest.raises(RequestError) as refused:
        take(section, url, secret, guard=guard)
    return str(refused.value)


# --- the section ----------------------------------------------------------------------------------------------


def test_the_section_has_the_keys_of_a_webhook_but_its_url_and_says_which_hosts() -> None:
    assert set(Callbacks.model_fields) == set(Webhook.model_fields) - {"url"} | {"hosts"}
    section = callbacks()
    assert (section.private, section.hosts, section.timeout) == (False, ("*",), timedelta(seconds=15))


@pytest.mark.parametrize(
    ("section", "text"),
    [
        pytest.param({}, "secret: expected one", id="no-secret"),
        pytest.param({"secret": SECRET, "url": URL}, "Extra inputs are not permitted", id="an-url"),
        pytest.param(
            {"secret": SECRET, "hosts": ["https://example.com"]}, "expected globs on the name", id="an-address"
        ),
        pytest.param({"secret": SECRET, "hosts": ["example.com:443"]}, "expected globs on the name", id="a-port"),
        pytest.param({"secret": SECRET, "hosts": [""]}, "expected globs on the name", id="nothing"),
    ],
)
def test_a_section_that_is_wrong_is_an_error_and_says_why(section: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        Callbacks.model_validate(section)


# --- which addresses are taken --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "section"),
    [
        pytest.param("https://example.com", {}, id="https"),
        pytest.param("https://EXAMPLE.com:8443/a?b=c", {}, id="port-path-query"),
        pytest.param("http://example.com/", {"allow_http": True}, id="http-where-that-is-allowed"),
        pytest.param("http://127.0.0.1:8000/", {"private": True}, id="http-to-loopback"),
        pytest.param("http://[::1]:8000/", {"private": True}, id="http-to-loopback-v6"),
        pytest.param("http://localhost:8000/", {"private": True}, id="http-to-localhost"),
        pytest.param("https://a.b.example.com/", {"hosts": ["*.example.com"]}, id="below-a-glob"),
        pytest.param("https://Hooks.Example.com./", {"hosts": ["hooks.EXAMPLE.com"]}, id="whatever-its-case"),
    ],
)
def test_a_callback_is_taken_as_it_is_written(url: str, section: dict[str, object]) -> None:
    assert take(callbacks(**section), url) == Callback(url)


@pytest.mark.parametrize(
    ("url", "section", "reason"),
    [
        ("http://example.com/", {}, "expected https://"),
        ("ftp://example.com/", {}, "expected an address such as https://example.com/hooks, without fragment"),
        ("https://me:canary@example.com/", {}, "expected no user info"),
        ("https://example.com/#canary", {}, "expected an address such as https://example.com/hooks, without fragment"),
        ("https://127.1/", {}, "expected an IPv4 address as four decimal numbers without leading zeros"),
        ("https://2130706433/", {}, "expected an IPv4 address as four decimal numbers without leading zeros"),
        ("https://example.com:0/", {}, "expected a port from 1 to 65535"),
        ("", {}, "expected visible ASCII without backslashes; other names are written as xn--…"),
        (
            "https://example.com/",
            {"hosts": ["*.example.com"]},
            "expected another host: this one is not in the `hosts` of [callbacks]",
        ),
        (
            "https://example.com.evil.test/",
            {"hosts": ["example.com"]},
            "expected another host: this one is not in the `hosts` of [callbacks]",
        ),
    ],
)
def test_what_is_not_taken_is_refused_with_the_reason(url: str, section: dict[str, object], reason: str) -> None:
    assert refusal(callbacks(**section), url) == f"callback_url: {reason}"


def test_what_the_guard_knows_without_a_lookup_is_refused_at_once() -> None:
    guard = Guard()
    assert refusal(callbacks(), "https://10.0.0.1/", guard=guard) == "callback_url: 10.0.0.1 is a private address"
    assert refusal(callbacks(), "http://127.0.0.1/", guard=guard) == "callback_url: 127.0.0.1 is a loopback address"
    assert refusal(callbacks(), "https://[::ffff:7f00:1]/", guard=guard).startswith("callback_url: ::ffff:7f00:1 is ")
    assert (
        refusal(callbacks(), "https://db.internal/", guard=guard)
        == "callback_url: db.internal is a name for use inside"
    )
    assert take(callbacks(), "https://192.0.9.1/", guard=guard) == Callback("https://192.0.9.1/")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://Example.com/a", "callback:https://example.com:443"),
        ("https://example.com:443/b?c", "callback:https://example.com:443"),
        ("http://example.com/a", "callback:http://example.com:80"),
        ("https://example.com:8443", "callback:https://example.com:8443"),
        ("https://[2001:DB8::1]:8443/", "callback:https://[2001:db8::1]:8443"),
        ("https://192.0.2.1/", "callback:https://192.0.2.1:443"),
    ],
)
def test_one_scheme_host_and_port_is_one_origin(url: str, name: str) -> None:
    assert origin(url) == name


# --- secrets at rest ------------------------------------------------------------------------------------------


def sent(section: Callbacks, callback: Callback) -> Request:
    webhook = section.towards(callback)
    assert isinstance(webhook, Webhook)
    return post([delivery(event())], webhook, now=START, agent="watcher/test")


def is_signed_with(request: Request, secret: str) -> bool:
    signature = request.headers["webhook-signature"]
    return Verifier(secret).sign(request.headers["webhook-id"], START, request.body.decode()) in signature.split()


def test_a_callback_is_sent_by_the_section_to_its_own_url() -> None:
    section = callbacks(headers={"x-from": "us"}, content="thin", timeout="3s")
    webhook = section.towards(Callback(URL))
    assert isinstance(webhook, Webhook)
    shared = {name: getattr(section, name) for name in Terms.model_fields}
    assert {name: getattr(webhook, name) for name in Webhook.model_fields} == shared | {"url": URL}
    request = sent(section, Callback(URL))
    assert request.url == URL
    assert request.headers["x-from"] == "us"
    assert is_signed_with(request, SECRET)


def test_a_callback_with_a_secret_of_its_own_is_signed_with_that_alone() -> None:
    section = callbacks()
    request = sent(section, take(section, URL, THEIRS))
    assert is_signed_with(request, THEIRS)
    assert not is_signed_with(request, SECRET)


def test_a_secret_is_kept_sealed_and_no_two_are_alike() -> None:
    section = callbacks()
    first = take(section, URL, THEIRS)
    second = section.take(URL, THEIRS, nonce=NONCE_2, guard=None)
    assert first.secret is not None
    assert THEIRS not in first.secret
    assert first.secret != second.secret
    assert THEIRS not in repr(first)
    assert THEIRS not in repr(section.towards(first))


def test_a_sealed_secret_is_opened_with_any_of_the_sections_secrets_while_they_are_rotated() -> None:
    older, newer = SECRET, whsec(b"another one, and newer still")
    kept = take(callbacks(secret=[older]), URL, THEIRS)
    assert is_signed_with(sent(callbacks(secret=[newer, older]), kept), THEIRS)
    fresh = take(callbacks(secret=[newer, older]), URL, THEIRS)
    assert is_signed_with(sent(callbacks(secret=[newer]), fresh), THEIRS)

    lost = NoAnswer(Fault.BLOCKED, "the callback's secret was sealed under a secret that is no longer in [callbacks]")
    assert callbacks(secret=[newer]).towards(kept) == lost
    assert Callbacks(unsigned=True).towards(kept) == lost


def test_a_sealed_secret_is_of_no_use_for_another_url_or_to_who_only_knows_how_we_sign() -> None:
    sealed = Seal([KEY]).shut(THEIRS, place=URL, nonce=NONCE_1)
    assert Seal([KEY]).open(sealed, place=URL) == THEIRS
    assert Seal([KEY]).open(sealed, place="https://evil.test/") is None
    assert Seal([]).open(sealed, place=URL) is None


def test_where_callbacks_are_unsigned_a_secret_is_refused() -> None:
    assert refusal(Callbacks(unsigned=True), URL, THEIRS) == (
        "callback_secret: expected none: [callbacks] is unsigned, and has no key to keep it under"
    )


def test_without_the_extra_a_secret_is_refused_and_a_kept_one_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = take(callbacks(), URL, THEIRS)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    needs = 'needs an extra to be kept sealed: pip install "watcher[ed25519]"'
    assert refusal(callbacks(), URL, THEIRS) == f"callback_secret: {needs}"
    assert callbacks().towards(kept) == NoAnswer(Fault.BLOCKED, f"the callback's secret {needs}")
    assert is_signed_with(sent(callbacks(), Callback(URL)), SECRET)


def test_what_the_section_refuses_now_is_not_sent_though_it_was_taken_once() -> None:
    not_there = NoAnswer(Fault.BLOCKED, "expected another host: this one is not in the `hosts` of [callbacks]")
    assert callbacks(hosts=["*.test"]).towards(Callback(URL)) == not_there
    assert callbacks().towards(Callback("http://example.com/")) == NoAnswer(Fault.BLOCKED, "expected https://")
    assert callbacks().towards(None) == NoAnswer(Fault.BLOCKED, "the watch has no callback any more")


def test_the_filters_of_the_section_hold() -> None:
    section = callbacks(events=["watch.finished"], providers=["d7"])
    assert section.wants(EventType.FINISHED, provider="d7")
    assert not section.wants(EventType.FINISHED, provider="kore")
    assert not section.wants(EventType.STATUS, provider="d7")


# --- requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [THEIRS, None])
def test_a_callback_has_a_url_and_may_have_a_secret_of_its_own(secret: str | None) -> None:
    request = read_request(orjson.dumps({**ASKED, "callback_url": URL, "callback_secret": secret}))
    assert isinstance(request, WatchRequest)
    assert (request.callback_url, request.callback_secret) == (URL, secret)


def test_a_secret_without_a_url_is_refused() -> None:
    with pytest.raises(RequestError, match=r"^callback_secret: expected a callback_url beside it"):
        read_request(orjson.dumps({**ASKED, "callback_secret": THEIRS}))


# --- requests that are kept -----------------------------------------------------------------------------------

REQUEST = b'{"provider": "d7",  "callback_secret": "%s", "params": {"request_id": 1.0}}'


def test_a_refused_request_is_kept_as_it_came_but_for_its_secret() -> None:
    assert masked(REQUEST % THEIRS.encode()) == REQUEST % b"********"
    assert masked(REQUEST.replace(b"  ", b"\n") % rb"a \"quoted\" one") == REQUEST.replace(b"  ", b"\n") % b"********"
    assert masked(b'{"id": "a",  "provider": 1}') == b'{"id": "a",  "provider": 1}'
    assert masked(b'{"callback_secret":null}') == b'{"callback_secret":null}'
    assert masked(b'{"id": "\\u00e4",  "provider": 1}') == b'{"id": "\\u00e4",  "provider": 1}'


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"callback_secret": "%s", "callback_secret": "%s"}', id="said-twice"),
        pytest.param(b'{"callback\\u005fsecret": "%s", "x": "%s"}'.replace(b', "x": "%s"', b""), id="escaped"),
        pytest.param(b'{"callback_secret": ["%s"]}', id="a-list"),
        pytest.param(b'{"callback_secret": {"a": "%s"}}', id="a-table"),
        pytest.param(b'[{"callback_secret": "%s"}]', id="in-a-list"),
        pytest.param(b'{"callback_secret": "%s", "params": {', id="half-a-line"),
        pytest.param(b'{"callback_secret": "%s', id="the-beginning-of-one"),
        pytest.param(b'{"callback_secret"\n:\t"%s"} rubbish', id="no-json"),
    ],
)
def test_however_it_is_written_its_secret_is_not_kept(raw: bytes) -> None:
    kept = masked(raw.replace(b"%s", THEIRS.encode()))
    assert THEIRS.encode() not in kept
    assert b"********" in kept


def test_what_was_written_oddly_keeps_its_meaning() -> None:
    raw = b'{"callback\\u005fsecret": "%s", "id": "a"}' % THEIRS.encode()
    assert orjson.loads(masked(raw)) == {"callback_secret": "********", "id": "a"}


def test_deep_nonsense_is_kept_too() -> None:
    raw = b'{"callback_secret": ' + b"[" * 1000 + b"]" * 1000 + b"}"
    kept: Mapping[str, object] = orjson.loads(masked(raw))
    assert kept == {"callback_secret": "********"}


def test_a_secret_that_cannot_be_sealed_as_the_sections_own_was_not_read_is_refused() -> None:
    unread = callbacks(secret="env:T_CALLBACKS")
    assert refusal(unread, URL, THEIRS) == (
        "callback_secret: the secret of [callbacks], which it is kept under, cannot be read here: "
        "`watcher check` says why"
    )
    assert take(unread, URL) == Callback(URL)
