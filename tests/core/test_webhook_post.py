"""What a POST looks like and what its answer means: SPEC, sections 6 and 7."""

from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from make import KEY, SECRET, START, STARTED, after, delivery, event, span, webhook, whsec

from watcher.core.delivery import Decision, Verdict
from watcher.core.event import provider_changed
from watcher.core.model import Condition, Reason
from watcher.core.webhook import SCHEDULES, decode_key, post, sign, verdict
from watcher.core.wire import Fault, NoAnswer, Response

VECTOR = orjson.loads((Path(__file__).parents[1] / "vectors" / "standard_webhooks.json").read_bytes())["symmetric"]
LATEST = 1 - 2**-53


def answer(status: int) -> Response:
    return Response(status, {}, b"", START)


def judge(response: Response | NoAnswer, *, attempts: int = 1, dice: float = 0.0) -> Verdict:
    return verdict(response, attempts=attempts, retry=webhook().retry, now=START, dice=dice)


def test_a_signature_is_the_one_that_standard_webhooks_publishes() -> None:
    signature = sign(
        VECTOR["body"].encode(),
        keys=[decode_key(VECTOR["secret"])],
        id=VECTOR["id"],
        timestamp=VECTOR["timestamp"],
    )
    assert signature == VECTOR["signature"]


def test_several_keys_sign_in_their_order_with_one_space_between() -> None:
    one, two = (sign(b"{}", keys=[key], id="evt_0", timestamp=1) for key in (KEY, b"another"))
    assert sign(b"{}", keys=[b"another", KEY], id="evt_0", timestamp=1) == f"{two} {one}"


def test_a_post_has_the_promised_headers_and_the_event_s_own_bytes() -> None:
    of = event(watch="order/42 ü", n=1)
    request = post(delivery(of, attempts=2), webhook(), now=after("90s"), agent="watcher/1.2")
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


def test_an_unsigned_post_has_no_signature() -> None:
    request = post(delivery(event()), webhook(secret=[], unsigned=True), now=START, agent="watcher/1.2")
    assert "webhook-signature" not in request.headers


def test_while_rotating_every_secret_signs() -> None:
    old = webhook(secret=[whsec(bytes(32)), SECRET])
    signature = post(delivery(event()), old, now=START, agent="watcher/1.2").headers["webhook-signature"]
    keys = [bytes(32), KEY]
    assert signature == sign(event().body, keys=keys, id="evt_0", timestamp=int(START.timestamp()))


def test_an_attempt_has_its_own_time_and_number_and_the_same_id_and_body() -> None:
    of = event()
    first, later = (
        post(delivery(of, attempts=attempts), webhook(), now=now, agent="watcher/1.2")
        for attempts, now in [(0, START), (1, after("5s"))]
    )
    differing = {"webhook-timestamp", "webhook-signature", "watcher-attempt"}
    assert {name for name in first.headers if first.headers[name] != later.headers[name]} == differing
    assert first.body == later.body


# --- answers and retries --------------------------------------------------------------------------------------


def test_only_a_2xx_is_delivered_whatever_the_attempt() -> None:
    delivered = Verdict(Decision.DELIVERED)
    verdicts = {status: judge(answer(status), attempts=18) for status in range(100, 600)}
    assert [status for status, found in verdicts.items() if found == delivered] == [*range(200, 300)]
    assert {found.decision for found in verdicts.values()} == {Decision.DELIVERED, Decision.EXHAUSTED}


@pytest.mark.parametrize("fault", list(Fault))
def test_no_answer_is_tried_again(fault: Fault) -> None:
    assert judge(NoAnswer(fault, "")) == Verdict(Decision.RETRY, after("5s"))


SCHEDULED = {
    "long": "5s 30s 2m 10m 30m 1h 2h 5h 10h 14h 20h 24h 24h 24h 24h 24h 24h",
    "standard": "5s 5m 30m 2h 5h 10h 14h 20h 24h",
    "fast": "1s 2s 5s 10s 30s 1m 5m 15m 30m",
    "none": "",
}


@pytest.mark.parametrize("name", list(SCHEDULED))
def test_a_schedule_waits_as_promised_and_then_gives_up(name: str) -> None:
    retry = webhook(retry=name).retry
    waits = [span(written) for written in SCHEDULED[name].split()]
    verdicts = [
        verdict(answer(500), attempts=attempts, retry=retry, now=START, dice=0.0)
        for attempts in range(1, len(waits) + 3)
    ]
    assert verdicts == [
        *(Verdict(Decision.RETRY, START + wait) for wait in waits),
        *[Verdict(Decision.EXHAUSTED)] * 2,
    ]


def test_there_is_no_other_schedule() -> None:
    assert SCHEDULES.keys() == SCHEDULED.keys()


def test_the_long_schedule_is_the_default_and_makes_18_attempts_in_8_2_days() -> None:
    assert webhook().retry == webhook(retry="long").retry
    assert len(webhook().retry) == 17
    assert sum(webhook().retry, timedelta(0)) / span("1d") == pytest.approx(8.2, abs=0.01)


def test_a_schedule_may_be_a_list_of_durations() -> None:
    assert webhook(retry=["1s", 2, "0.5h"]).retry == (span("1s"), span("2s"), span("30m"))


@pytest.mark.parametrize(("dice", "wait"), [(0.0, "5s"), (0.5, "5.5s"), (LATEST, "6s")])
def test_jitter_is_up_to_a_fifth_later_and_never_earlier(dice: float, wait: str) -> None:
    assert judge(answer(503), dice=dice) == Verdict(Decision.RETRY, after(wait))


def test_a_post_has_no_secret_in_its_repr() -> None:
    request = post(delivery(event()), webhook(), now=START, agent="watcher/1.2")
    shown = repr((request, webhook()))
    assert SECRET not in shown
    assert request.headers["webhook-signature"] not in shown


def test_an_event_of_a_provider_as_a_whole_has_no_subject_and_no_sequence() -> None:
    report = provider_changed(Condition("d7", uid="u"), reason=Reason.DENIED, at=START, watches=3)
    headers = post(delivery(report.event), webhook(), now=START, agent="watcher/1.2").headers
    assert not {"ce-subject", "ce-sequence"} & headers.keys()
    assert headers["ce-type"] == "provider.down"
