"""What a POST of one event looks like: its headers, its bytes, what a section adds (SPEC, sections 6 and 7)."""

import base64
from dataclasses import replace
from datetime import datetime

import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event
from make import KEY, SECRET, START, STARTED, after, delivery, event, webhook, whsec
from standardwebhooks import Webhook as Verifier

from watcher.core.event import provider_changed
from watcher.core.model import Condition, Json, Reason
from watcher.core.secret import Secret
from watcher.core.signature import SigningKey, sign
from watcher.core.webhook import parcel_id, post, thin
from watcher.core.wire import Request

SEED = b"thirty-two bytes, and no secret."
FULL: dict[str, Json] = {
    "params": {"request_id": "9d05"},
    "labels": {"order": "42"},
    "sequence": 3,
    "outcome": "succeeded",
    "counts": {"delivered": 1},
    "messages": {"m": "delivered"},
    "result": {"rows": [1, 2]},
    "detail": {"country": "AE", "sms_cost": 0.0004},
}
THIN = {key: FULL[key] for key in ("sequence", "outcome", "counts", "messages")}


def posted(*, attempts: int = 0, is_thin: bool = False, now: datetime = START, **section: object) -> Request:
    body = orjson.dumps({"type": "message.status.changed", "timestamp": STARTED, "data": FULL})
    one = replace(delivery(replace(event(), body=body), attempts=attempts), thin=is_thin)
    return post([one], webhook(**section), now=now, agent="watcher/1.2")


def test_a_post_has_the_promised_headers_and_the_event_s_own_bytes() -> None:
    of = event(watch="order/42 ü", n=1)
    request = post([delivery(of, attempts=2)], webhook(), now=after("90s"), agent="watcher/1.2")
    timestamp = int(after("90s").timestamp())
    assert request.headers == {
        "content-type": "application/json",
        "user-agent": "watcher/1.2",
        "webhook-id": "evt_0",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(of.body, keys=[KEY], id="evt_0", timestamp=timestamp),
        "ce-specversion": "1.0",
        "ce-id": "evt_0",
        "ce-type": "message.status.changed",
        "ce-source": "/watcher/d7",
        "ce-subject": "order%2F42%20%C3%BC",
        "ce-time": STARTED,
        "ce-sequence": "3",
        "watcher-attempt": "3",
    }
    assert (request.method, request.url, request.body) == ("POST", "https://example.com/hook", of.body)


def test_one_event_goes_under_its_own_id() -> None:
    assert parcel_id([delivery(event())]) == "evt_0"


def test_an_unsigned_post_has_no_signature() -> None:
    assert "webhook-signature" not in posted(secret=[], unsigned=True).headers


def test_while_rotating_every_secret_signs_the_newest_first() -> None:
    rotating = posted(secret=[whsec(bytes(32)), SECRET])
    keys = [bytes(32), KEY]
    signature = sign(rotating.body, keys=keys, id="evt_0", timestamp=int(START.timestamp()))
    assert rotating.headers["webhook-signature"] == signature


def test_a_signing_key_signs_beside_the_secrets() -> None:
    key = SigningKey(SEED)
    signed = posted(signing_key=f"whsk_{base64.b64encode(SEED).decode()}")
    signature = sign(signed.body, keys=[KEY], id="evt_0", timestamp=int(START.timestamp()), key=key)
    assert signed.headers["webhook-signature"] == signature


def test_an_attempt_has_its_own_time_and_number_and_the_same_id_and_body() -> None:
    first, later = posted(), posted(attempts=1, now=after("5s"))
    differing = {"webhook-timestamp", "webhook-signature", "watcher-attempt"}
    assert {name for name in first.headers if first.headers[name] != later.headers[name]} == differing
    assert first.body == later.body


def test_a_section_s_headers_go_along_and_may_name_another_agent() -> None:
    plain, more = posted(), posted(headers={"X-Tenant": "a", "authorization": "Bearer x", "User-Agent": "ours"})
    assert more.headers == {**plain.headers, "x-tenant": "a", "authorization": "Bearer x", "user-agent": "ours"}


def test_a_post_has_no_secret_in_its_repr() -> None:
    section = webhook(headers={"x-token": "canary"}, signing_key=f"whsk_{base64.b64encode(SEED).decode()}")
    request = post([delivery(event())], section, now=START, agent="watcher/1.2")
    shown = repr((request, section))
    assert SECRET not in shown
    assert request.headers["webhook-signature"] not in shown
    assert "canary" not in shown


def test_an_event_of_a_provider_as_a_whole_has_no_subject_and_no_sequence() -> None:
    report = provider_changed(Condition("d7", uid="u"), reason=Reason.DENIED, at=START, watches=3)
    headers = post([delivery(report.event)], webhook(), now=START, agent="watcher/1.2").headers
    assert not {"ce-subject", "ce-sequence"} & headers.keys()
    assert headers["ce-type"] == "provider.down"


# --- thin -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("too_large", "content", "data"),
    [
        pytest.param(False, "full", FULL, id="full"),
        pytest.param(True, "full", THIN, id="it-was-too-large"),
        pytest.param(False, "thin", THIN, id="the-section-says-so"),
        pytest.param(True, "thin", THIN, id="both"),
    ],
)
def test_thin_is_without_detail_params_labels_and_result(
    *, too_large: bool, content: str, data: dict[str, Json]
) -> None:
    request = posted(is_thin=too_large, content=content)
    expected = {"type": "message.status.changed", "timestamp": STARTED, "data": data}
    assert orjson.loads(request.body) == expected
    assert request.headers["webhook-id"] == "evt_0"
    signature = sign(request.body, keys=[KEY], id="evt_0", timestamp=int(START.timestamp()))
    assert request.headers["webhook-signature"] == signature


def test_thin_keeps_whatever_stands_beside_the_data() -> None:
    assert thin(b'{"type":"x","detail":1,"data":null}') == b'{"type":"x","detail":1,"data":null}'


# --- oracles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["full", "thin"])
def test_a_post_is_a_cloudevent_in_binary_mode(content: str) -> None:
    request = posted(content=content)
    parsed = from_binary_event(HTTPMessage(dict(request.headers), request.body))
    assert parsed.get_attributes() == {
        "specversion": "1.0",
        "id": "evt_0",
        "type": "message.status.changed",
        "source": "/watcher/d7",
        "subject": "order-42",
        "time": START,
        "sequence": "3",
        "datacontenttype": "application/json",
    }
    assert parsed.get_data() == orjson.loads(request.body)


@pytest.mark.parametrize("content", ["full", "thin"])
@pytest.mark.parametrize("signing_key", [None, f"whsk_{base64.b64encode(SEED).decode()}"])
def test_a_post_is_a_standard_webhook_for_the_old_secret_and_the_new(content: str, signing_key: str | None) -> None:
    new = whsec(bytes(32))
    now = datetime.now(START.tzinfo)
    request = posted(now=now, content=content, secret=[Secret.literal(new), SECRET], signing_key=signing_key)
    for secret in (new, SECRET):
        assert Verifier(secret).verify(request.body, dict(request.headers)) == orjson.loads(request.body)
