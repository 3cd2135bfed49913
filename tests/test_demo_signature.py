"""The receiver judges signatures as the reference verifier does, and says why."""

import json
import re
import time
from collections.abc import Mapping

import pytest
from signed import OTHER, SECRET, event, headers
from standardwebhooks import Webhook, WebhookVerificationError

from watcher.demo.signature import fresh_secret, problem, read_key, signature


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
