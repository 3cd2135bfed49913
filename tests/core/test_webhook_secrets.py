"""A section's secrets: that nothing shows them, and that its fingerprint knows them (SPEC, sections 2 and 7.3)."""

import base64

import pytest
from make import SECRET, webhook, whsec

from watcher.config import Config
from watcher.core.secret import Secret
from watcher.core.signature import SigningKey
from watcher.core.webhook_section import Webhook
from watcher.masking import masked

SEED = b"canary canary canary canary canary"[:32]
WHSK = f"whsk_{base64.b64encode(SEED).decode()}"
CANARIES = {
    "secret": whsec(b"canary of twenty-four bytes"),
    "signing_key": WHSK,
    "header": "canary-7f3a",
}
SHOWN = {
    *CANARIES.values(),
    *(value.partition("_")[2] for value in CANARIES.values() if "_" in value),
    *("canary",),
}


def full(**others: object) -> Webhook:
    return webhook(
        **{
            "secret": [CANARIES["secret"], SECRET],
            "signing_key": CANARIES["signing_key"],
            "headers": {"x-token": CANARIES["header"], "x-ref": Secret("env:REF", CANARIES["header"])},
            **others,
        }
    )


def used(section: Webhook) -> Webhook:
    """Ask for whatever follows from a section, as sending does."""
    _ = section.keys, section.key, section.extra, section.types, section.fingerprint
    return section


def test_no_way_of_printing_shows_a_secret_even_after_it_was_used() -> None:
    section = used(full())
    shown = [repr(section), str(section), section.model_dump_json(), repr(section.model_dump()), repr(section.key)]
    assert not [secret for secret in SHOWN if secret in "".join(shown)]


def test_the_masked_configuration_shows_what_was_written_and_nothing_that_follows_from_it() -> None:
    fresh, asked = (Config.model_validate({"webhooks": {"ops": section}}) for section in (full(), used(full())))
    assert masked(asked) == masked(fresh)
    assert not [secret for secret in SHOWN if secret in masked(asked)]


# --- the fingerprint ------------------------------------------------------------------------------------------


def test_a_fingerprint_is_the_same_for_the_same_section() -> None:
    assert full().fingerprint == full().fingerprint
    assert webhook().fingerprint == webhook(order="watch", batch=0, headers={}, retry="long").fingerprint
    assert webhook(secret=SECRET).fingerprint == webhook(secret=[SECRET]).fingerprint


def test_a_fingerprint_shows_nothing_of_the_section() -> None:
    assert len(full().fingerprint) == 32
    assert set(full().fingerprint) <= set("0123456789abcdef")


OTHER = whsec(bytes(32))
CHANGES: dict[str, dict[str, object]] = {
    "url": {"url": "https://example.com/another"},
    "a literal secret": {"secret": OTHER},
    "a reference for a literal": {"secret": Secret("env:A", SECRET)},
    "another reference": {"secret": Secret("env:B", SECRET)},
    "another value behind it": {"secret": Secret("env:B", OTHER)},
    "a second secret": {"secret": [SECRET, OTHER]},
    "their order": {"secret": [OTHER, SECRET]},
    "no secret": {"secret": [], "unsigned": True},
    "a signing key": {"signing_key": WHSK},
    "another signing key": {"signing_key": f"whsk_{base64.b64encode(bytes(32)).decode()}"},
    "a header": {"headers": {"x-tenant": "a"}},
    "another value of it": {"headers": {"x-tenant": "b"}},
    "a secret value": {"headers": {"x-token": "a"}},
    "another secret value": {"headers": {"x-token": "b"}},
    "a value behind a reference": {"headers": {"x-tenant": Secret("env:T", "a")}},
    "another value behind it too": {"headers": {"x-tenant": Secret("env:T", "b")}},
    "order": {"order": "none"},
    "order_wait": {"order_wait": "2h"},
    "batch": {"batch": 10},
    "retry": {"retry": "fast"},
    "rate": {"rate": 5},
    "content": {"content": "thin"},
    "private": {"private": False},
    "networks": {"private": ["10.0.0.0/8"]},
    "final_statuses": {"final_statuses": [404]},
    "ca_file": {"ca_file": "/etc/ca.pem"},
}


def test_a_fingerprint_changes_with_whatever_changes_in_a_section() -> None:
    found = {"nothing": webhook().fingerprint} | {name: webhook(**keys).fingerprint for name, keys in CHANGES.items()}
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
    "section",
    [
        {"secret": "env:OPS_SECRET"},
        {"secret": [SECRET, "env:OPS_SECRET"]},
        {"signing_key": "env:KEY"},
        {"headers": {"x-tenant": "env:TENANT"}},
    ],
)
def test_a_section_whose_secrets_are_not_known_has_no_fingerprint(section: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="was not resolved"):
        _ = webhook(**section).fingerprint


def test_the_public_key_is_no_secret() -> None:
    key = full().key
    assert key is not None
    assert key.public == SigningKey(SEED).public
