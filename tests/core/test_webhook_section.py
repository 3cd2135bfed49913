"""What a webhook's section may say, and what it says by itself (SPEC, section 7.1)."""

import base64
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from make import SECRET, span, webhook, whsec
from pydantic import ValidationError

from watcher.core.model import Callback, EventType
from watcher.core.secret import Secret
from watcher.core.signature import SigningKey
from watcher.core.webhook_section import Webhook

SEED = b"thirty-two bytes, and no secret."
WHSK = f"whsk_{base64.b64encode(SEED).decode()}"
URL = "https://example.com/hook"


def said(section: Webhook) -> dict[str, object]:
    return {key: getattr(section, key) for key in Webhook.model_fields}


def test_a_section_of_an_address_and_a_secret_has_these_defaults() -> None:
    section = Webhook(url=URL, secret=SECRET)
    assert said(section) == {
        "url": URL,
        "secret": (Secret.literal(SECRET),),
        "signing_key": None,
        "unsigned": False,
        "allow_http": False,
        "events": ("*",),
        "providers": None,
        "timeout": span("15s"),
        "concurrency": 16,
        "rate": None,
        "retry": webhook(retry="long").retry,
        "order": "watch",
        "order_wait": span("1h"),
        "batch": 0,
        "headers": {},
        "content": "full",
        "private": True,
        "ca_file": None,
        "client_cert": None,
        "client_key": None,
        "final_statuses": (),
    }


def test_every_key_can_be_said() -> None:
    written: dict[str, object] = {
        "url": "http://example.com/hook",
        "allow_http": True,
        "secret": [SECRET, "env:OLD"],
        "signing_key": WHSK,
        "events": ["watch.*"],
        "providers": ["d7"],
        "timeout": "2.5s",
        "concurrency": 1,
        "rate": 0.5,
        "retry": ["1s", 2, "0.5h"],
        "order": "none",
        "order_wait": "0s",
        "batch": 100,
        "headers": {"X-Tenant": "a", "X-Ref": "env:REF"},
        "content": "thin",
        "private": ["10.0.0.0/8", "fd00::/8"],
        "ca_file": "ca.pem",
        "client_cert": "/etc/cert.pem",
        "client_key": "key.pem",
        "final_statuses": [300, 404, 599],
    }
    led = {"env:OLD": whsec(bytes(32)), "env:REF": "b"}
    context = {"folder": Path("/etc/watcher"), "resolve": led.__getitem__}
    assert said(Webhook.model_validate(written, context=context)) == {
        **written,
        "unsigned": False,
        "secret": (Secret.literal(SECRET), Secret("env:OLD", whsec(bytes(32)))),
        "signing_key": Secret.literal(WHSK),
        "events": ("watch.*",),
        "providers": ("d7",),
        "timeout": span("2.5s"),
        "retry": (span("1s"), span("2s"), span("30m")),
        "order_wait": span("0s"),
        "headers": {"x-tenant": "a", "x-ref": Secret("env:REF", "b")},
        "private": (IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8")),
        "ca_file": Path("/etc/watcher/ca.pem"),
        "client_cert": Path("/etc/cert.pem"),
        "client_key": Path("/etc/watcher/key.pem"),
        "final_statuses": (300, 404, 599),
    }


@pytest.mark.parametrize(
    ("section", "key", "reason"),
    [
        pytest.param({"secret": []}, "", "secret: expected one", id="no-secret"),
        pytest.param({"unsigned": True}, "", "secret: expected one", id="a-secret-although-unsigned"),
        pytest.param({"secret": "whsec_canary"}, "secret", "expected whsec_", id="a-bad-secret"),
        pytest.param({"secret": [SECRET, "whsec_canary"]}, "secret", "expected whsec_", id="one-bad-of-two"),
        pytest.param({"secret": 5}, "secret", "expected a secret", id="a-number-for-a-secret"),
        pytest.param({"signing_key": "whsk_canary"}, "signing_key", "expected whsk_", id="a-bad-signing-key"),
        pytest.param(
            {"signing_key": WHSK, "secret": [], "unsigned": True},
            "",
            "signing_key: expected a secret beside it",
            id="a-signing-key-alone",
        ),
        pytest.param({"events": ["sms.*"]}, "events", "matches no event type", id="a-glob-of-nothing"),
        pytest.param({"events": ["watch.*", "Watch.*"]}, "events", "matches no event type", id="another-case"),
        pytest.param({"timeout": "0s"}, "timeout", "longer than nothing", id="no-time-at-all"),
        pytest.param({"timeout": "canary"}, "timeout", "expected a duration", id="no-duration"),
        pytest.param({"concurrency": 0}, "concurrency", "greater than or equal to 1", id="nothing-in-flight"),
        pytest.param({"rate": 0}, "rate", "greater than 0", id="no-rate"),
        pytest.param({"rate": -1}, "rate", "greater than 0", id="a-rate-below-nothing"),
        pytest.param({"rate": float("inf")}, "rate", "finite number", id="an-endless-rate"),
        pytest.param({"retry": "canary"}, "retry", "expected one of long, standard, fast, none", id="no-schedule"),
        pytest.param({"retry": ["canary"]}, "retry", "expected a duration", id="a-schedule-of-words"),
        pytest.param({"retry": ["5s", "-1s"]}, "retry", "expected a duration", id="a-wait-below-nothing"),
        pytest.param({"retry": 5}, "retry", "valid tuple", id="a-number-for-a-schedule"),
        pytest.param({"order": "lane"}, "order", "'watch' or 'none'", id="another-order"),
        pytest.param({"order_wait": "canary"}, "order_wait", "expected a duration", id="no-order-wait"),
        pytest.param({"batch": -1}, "batch", "greater than or equal to 0", id="a-batch-below-nothing"),
        pytest.param({"batch": 1001}, "batch", "less than or equal to 1000", id="a-batch-too-large"),
        pytest.param({"batch": 10**18}, "batch", "less than or equal to 1000", id="a-batch-of-all-there-is"),
        pytest.param({"concurrency": 10_001}, "concurrency", "less than or equal to 10000", id="too-much-in-flight"),
        pytest.param({"rate": 1e10}, "rate", "less than or equal to 1000000000", id="too-high-a-rate"),
        pytest.param({"content": "canary"}, "content", "'full' or 'thin'", id="another-content"),
        pytest.param({"private": ["10.0.0.0/33"]}, "private", "10.0.0.0/33", id="no-network"),
        pytest.param({"private": ["10.0.0.1/8"]}, "private", "has host bits set", id="a-network-with-a-host"),
        pytest.param({"private": [10]}, "private", "expected a network such as", id="a-number-for-a-network"),
        pytest.param({"private": "canary"}, "private", "valid boolean", id="no-answer"),
        pytest.param({"client_key": "key.pem"}, "", "client_key: expected client_cert", id="a-key-alone"),
        *[
            pytest.param({"final_statuses": [status]}, "final_statuses", "than or equal to", id=f"final-{status}")
            for status in (99, 200, 204, 299, 600)
        ],
        *[
            pytest.param({"headers": {name: "canary"}}, "headers", "expected another header", id=f"header-{name}")
            for name in (
                *("Host", "content-type", "Content-Length", "content-encoding", "webhook-id", "Webhook-Signature"),
                *("ce-id", "CE-Type", "connection", "transfer-encoding", "watcher-attempt"),
            )
        ],
        pytest.param({"headers": {"x tenant": "canary"}}, "headers", "the name of a header", id="no-header"),
        pytest.param({"headers": {"x-tenant": "a\ncanary"}}, "headers", "should match", id="two-lines"),
        pytest.param({"headers": {"x-token": "a\r\ncanary"}}, "headers", "in one line", id="two-secret-lines"),
        pytest.param({"headers": {"x-tenant": 5}}, "headers", "valid string", id="a-number-for-a-value"),
        pytest.param({"batch_size": 9}, "batch_size", "not permitted", id="an-unknown-key"),
        pytest.param({"url": 5}, "url", "valid string", id="a-number-for-an-address"),
    ],
)
def test_sections_that_are_refused(section: dict[str, object], key: str, reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        webhook(**section)
    [error] = refused.value.errors(include_url=False, include_input=False)
    assert (error["loc"] or ("",))[0] == key
    assert reason in error["msg"]
    assert "canary" not in str(refused.value)


# --- the address ----------------------------------------------------------------------------------------------


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
        pytest.param("http://10.0.0.1/", "expected https://", id="unencrypted-and-private"),
        pytest.param("http://localhost.example.com/", "expected https://", id="not-really-loopback"),
        pytest.param("ftp://example.com/", "expected an address", id="another-scheme"),
        pytest.param("https:///hook", "expected an address", id="no-host"),
        pytest.param("example.com/hook", "expected an address", id="no-scheme"),
        pytest.param("https://exämple.com/", "expected an address", id="not-ascii"),
        pytest.param("https://example.com/\n", "expected an address", id="line-break"),
        pytest.param("https://me:canary@example.com/", "expected no user info", id="user-info"),
        pytest.param("https://@example.com/", "expected no user info", id="empty-user-info"),
        pytest.param("https://example.com\\@canary/", "expected no user info", id="backslash"),
        pytest.param("https://example.com/#top", "expected no user info, no fragment", id="fragment"),
        pytest.param("https://example.com/#", "expected no user info, no fragment", id="empty-fragment"),
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


def test_a_webhook_needs_an_address() -> None:
    with pytest.raises(ValidationError, match="url\n"):
        Webhook.model_validate({"secret": SECRET})


# --- values ---------------------------------------------------------------------------------------------------


def test_a_secret_or_a_list_of_them_signs() -> None:
    other = Secret.literal(whsec(bytes(32)))
    assert webhook().secret == (Secret.literal(SECRET),)
    assert webhook(secret=[other, SECRET]).keys == (bytes(32), b"an example, and no secret")


def test_without_a_secret_a_webhook_must_be_called_unsigned() -> None:
    assert (webhook(secret=[], unsigned=True).keys, webhook(secret=[], unsigned=True).key) == ((), None)
    with pytest.raises(ValidationError, match="unsigned = true"):
        Webhook(url=URL)


def test_a_signing_key_is_read() -> None:
    key = webhook(signing_key=WHSK).key
    assert key is not None
    assert key.public == SigningKey(SEED).public


@pytest.mark.parametrize("private", [True, False])
def test_private_is_yes_or_no_or_a_list_of_networks(*, private: bool) -> None:
    assert webhook(private=private).private is private
    assert webhook(private=[]).private == ()


def test_references_that_are_not_followed_yet_are_taken_and_sign_nothing() -> None:
    section = webhook(secret="env:OPS_SECRET", signing_key="env:KEY", headers={"x-token": "env:TOKEN"})
    assert section.secret == (Secret("env:OPS_SECRET"),)
    with pytest.raises(ValueError, match="the secret env:OPS_SECRET was not resolved"):
        _ = section.keys
    with pytest.raises(ValueError, match="the secret env:KEY was not resolved"):
        _ = section.key
    with pytest.raises(ValueError, match="the secret env:TOKEN was not resolved"):
        _ = section.extra


def test_a_glob_may_name_every_type() -> None:
    assert webhook(events=["*"]).types == frozenset(EventType)


def test_a_section_leads_to_one_place_whatever_the_watch_says() -> None:
    section = webhook()
    assert section.towards(None) is section
    assert section.towards(Callback("https://example.com/called-back")) is section
