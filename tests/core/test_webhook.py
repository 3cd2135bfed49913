"""What a webhook's section may say, and which events it wants: SPEC, section 7.1."""

import pytest
from make import SECRET, event, webhook, whsec
from pydantic import ValidationError

from watcher.core.model import EventType
from watcher.core.secret import Secret
from watcher.core.webhook import Webhook, addressees, decode_key


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_key_has_24_to_64_bytes(size: int) -> None:
    assert decode_key(whsec(bytes(size))) == bytes(size)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(whsec(bytes(23)), id="too-short"),
        pytest.param(whsec(bytes(65)), id="too-long"),
        pytest.param(whsec(bytes(24)).removeprefix("whsec_"), id="without-its-prefix"),
        pytest.param(whsec(bytes(24)).replace("whsec_", "whpk_"), id="with-another-prefix"),
        pytest.param("whsec_", id="empty"),
        pytest.param("whsec_canary!canary!canary!canary!canary", id="not-base64"),
        pytest.param("whsec_canäry", id="not-ascii"),
    ],
)
def test_what_is_no_key_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="expected whsec_ and the base64 of 24 to 64 bytes") as refused:
        decode_key(secret)
    assert "can" not in str(refused.value)


# --- the section ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/hook?tenant=a%20b",
        "http://localhost:8080/hook",
        "http://127.0.0.1/hook",
        "http://127.8.0.1/hook",
        "http://[::1]:9/hook",
    ],
)
def test_addresses_that_a_webhook_may_have(url: str) -> None:
    assert webhook(url=url).url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("http://example.com/", "expected https://", id="unencrypted"),
        pytest.param("http://localhost.example.com/", "expected https://", id="not-really-loopback"),
        pytest.param("ftp://example.com/", "expected an address", id="another-scheme"),
        pytest.param("https:///hook", "expected an address", id="no-host"),
        pytest.param("example.com/hook", "expected an address", id="no-scheme"),
        pytest.param("https://exämple.com/", "expected an address", id="not-ascii"),
        pytest.param("https://example.com/\n", "expected an address", id="line-break"),
        pytest.param("https://me:canary@example.com/", "expected no user info", id="user-info"),
        pytest.param("https://example.com/#top", "expected no user info, no fragment", id="fragment"),
        pytest.param("https://example.com/a b", "no space", id="space"),
        pytest.param("https://example.com:0/", "expected a port", id="port-nought"),
        pytest.param("https://example.com:99999/", "Port out of range", id="port-out-of-range"),
        pytest.param("https://[::1", "Invalid IPv6 URL", id="half-a-bracket"),
    ],
)
def test_addresses_that_a_webhook_may_not_have(url: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as refused:
        webhook(url=url)
    assert "canary" not in str(refused.value)


def test_events_go_unencrypted_only_where_it_is_allowed() -> None:
    assert webhook(url="http://example.com/", allow_http=True).url == "http://example.com/"


def test_a_secret_or_a_list_of_them_signs() -> None:
    other = Secret.literal(whsec(bytes(32)))
    assert webhook().secret == (Secret.literal(SECRET),)
    assert webhook(secret=[SECRET, other]).secret == (Secret.literal(SECRET), other)


def test_a_reference_that_is_not_followed_yet_is_taken() -> None:
    assert webhook(secret="env:OPS_SECRET").secret == (Secret("env:OPS_SECRET"),)


@pytest.mark.parametrize(
    "section",
    [
        pytest.param({"secret": []}, id="no-secret"),
        pytest.param({"unsigned": True}, id="a-secret-although-unsigned"),
        pytest.param({"secret": "whsec_canary"}, id="a-bad-secret"),
        pytest.param({"secret": [SECRET, "whsec_canary"]}, id="one-bad-secret-of-two"),
        pytest.param({"retry": "canary"}, id="an-unknown-schedule"),
        pytest.param({"retry": ["canary"]}, id="a-schedule-of-words"),
        pytest.param({"concurrency": 0}, id="nothing-in-flight"),
        pytest.param({"batch_size": 9}, id="an-unknown-key"),
    ],
)
def test_sections_that_are_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as refused:
        webhook(**section)
    assert "canary" not in str(refused.value)


def test_without_a_secret_a_webhook_must_be_called_unsigned() -> None:
    assert webhook(secret=[], unsigned=True).secret == ()
    with pytest.raises(ValidationError, match="unsigned = true"):
        Webhook(url="https://example.com/")


# --- filters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("globs", "wanted"),
    [
        pytest.param(["*"], list(EventType), id="all"),
        pytest.param([], [], id="none"),
        pytest.param(["message.status.changed"], [EventType.MESSAGE], id="one"),
        pytest.param(["watch.*"], [kind for kind in EventType if kind.startswith("watch.")], id="all-of-the-watch"),
        pytest.param(["*.status.changed"], [EventType.STATUS, EventType.MESSAGE], id="all-statuses"),
        pytest.param(
            ["watch.finished", "watch.[tr]*"],
            [EventType.TROUBLE, EventType.RECOVERED, EventType.FINISHED],
            id="several-globs",
        ),
    ],
)
def test_a_webhook_gets_the_events_that_its_globs_match(globs: list[str], wanted: list[EventType]) -> None:
    assert [kind for kind in EventType if webhook(events=globs).wants(kind, provider="d7")] == wanted


@pytest.mark.parametrize("glob", ["watch", "Watch.*", "watch.status.change", "sms.*"])
def test_a_glob_that_matches_nothing_is_a_mistake(glob: str) -> None:
    with pytest.raises(ValidationError, match="matches no event type"):
        webhook(events=["watch.*", glob])


@pytest.mark.parametrize(
    ("providers", "wants"),
    [(None, True), (["d7"], True), (["kore", "d7"], True), (["kore"], False), (["d7-two"], False), ([], False)],
)
def test_a_webhook_gets_the_events_of_its_providers(providers: list[str] | None, *, wants: bool) -> None:
    assert webhook(providers=providers).wants(EventType.MESSAGE, provider="d7") is wants


HOOKS = {"all": webhook(), "ends": webhook(events=["watch.finished"]), "kore": webhook(providers=["kore"])}


@pytest.mark.parametrize(
    ("kind", "chosen", "names"),
    [
        pytest.param(EventType.FINISHED, None, ("all", "ends"), id="all-that-want-it"),
        pytest.param(EventType.MESSAGE, None, ("all",), id="filters-hold"),
        pytest.param(EventType.FINISHED, ("ends",), ("ends",), id="the-watch's-own-choice"),
        pytest.param(EventType.MESSAGE, ("ends", "kore"), (), id="filters-hold-for-a-choice-too"),
        pytest.param(EventType.MESSAGE, ("gone", "all"), ("all",), id="a-section-that-was-removed"),
        pytest.param(EventType.MESSAGE, ("all", "all"), ("all",), id="named-twice-and-sent-once"),
        pytest.param(EventType.MESSAGE, (), (), id="none"),
    ],
)
def test_who_gets_an_event(kind: EventType, chosen: tuple[str, ...] | None, names: tuple[str, ...]) -> None:
    assert addressees(event(type=kind), HOOKS, chosen=chosen) == names
