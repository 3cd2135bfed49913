"""What counts as a change, and what a watch without a status of its own is: SPEC, section 4."""

import pytest
from make import after, listing, mark, message, saying

from watcher.core.diff import MessageChange, changed_messages, merge, overall
from watcher.core.model import Mark, Message, Observation, Snapshot, State

A_SENT = Snapshot("in_progress", State.IN_PROGRESS, messages={"a": mark("sent")})
A_DELIVERED = Snapshot("succeeded", State.SUCCEEDED, messages={"a": mark("delivered")})


@pytest.mark.parametrize(
    ("statuses", "total", "state"),
    [
        pytest.param([], None, State.PENDING, id="none-listed"),
        pytest.param([], 0, State.PENDING, id="none-listed-of-none"),
        pytest.param([], 2, State.PENDING, id="none-listed-of-two"),
        pytest.param(["accepted", "scheduled"], 2, State.PENDING, id="accepted-and-scheduled"),
        pytest.param(["accepted"], 2, State.PENDING, id="fewer-and-none-went-further"),
        pytest.param(["accepted", "sent"], 2, State.IN_PROGRESS, id="one-went-further"),
        pytest.param(["accepted", "delivered"], 2, State.IN_PROGRESS, id="one-is-final"),
        pytest.param(["delivered"], 2, State.IN_PROGRESS, id="fewer-and-all-final"),
        pytest.param(["delivered", "sent"], None, State.IN_PROGRESS, id="one-is-not-final"),
        pytest.param(["delivered"], 1, State.SUCCEEDED, id="the-only-one-delivered"),
        pytest.param(["delivered", "delivered"], None, State.SUCCEEDED, id="all-delivered-without-a-total"),
        pytest.param(["delivered", "delivered"], 1, State.SUCCEEDED, id="more-than-the-total"),
        pytest.param(["delivered", "rejected"], 2, State.PARTIALLY_SUCCEEDED, id="one-of-two-delivered"),
        pytest.param(["partly", "rejected"], 2, State.PARTIALLY_SUCCEEDED, id="one-of-two-partly"),
        pytest.param(["partly"], 1, State.PARTIALLY_SUCCEEDED, id="the-only-one-partly"),
        pytest.param(["undelivered", "rejected"], 2, State.FAILED, id="all-failed"),
    ],
)
def test_the_state_of_a_watch_follows_from_its_messages(statuses: list[str], total: int | None, state: State) -> None:
    assert overall((mark(status).state for status in statuses), total=total) is state


def test_a_provider_without_a_status_has_the_state_as_status() -> None:
    assert merge(None, listing(message("a", "sent"))) == A_SENT


def test_a_provider_with_a_status_keeps_its_word_whatever_its_messages_say() -> None:
    observation = Observation("PARTIAL_SUCCESS", State.PARTIALLY_SUCCEEDED, 40, (message("a", "sent"),))
    assert merge(None, observation) == Snapshot(
        "PARTIAL_SUCCESS", State.PARTIALLY_SUCCEEDED, 40, {"a": Mark("sent", State.IN_PROGRESS)}
    )


def test_a_message_that_is_no_longer_listed_keeps_its_status_and_counts() -> None:
    assert merge(A_SENT, listing(message("b", "delivered"), total=2)) == Snapshot(
        "in_progress", State.IN_PROGRESS, messages={"a": mark("sent"), "b": mark("delivered")}
    )


def test_a_watch_whose_messages_are_no_longer_listed_is_not_all_delivered() -> None:
    assert merge(A_SENT, listing()).state is State.IN_PROGRESS


def test_a_message_that_was_final_does_not_go_back() -> None:
    assert merge(A_DELIVERED, listing(message("a", "sent"))) == A_DELIVERED


def test_progress_stays_where_an_answer_has_none() -> None:
    before = merge(None, saying("RUNNING", State.IN_PROGRESS, progress=40))
    assert merge(before, saying("RUNNING", State.IN_PROGRESS)) == before


def test_progress_of_nothing_is_progress() -> None:
    before = merge(None, saying("RUNNING", State.IN_PROGRESS, progress=40))
    assert merge(before, saying("RUNNING", State.IN_PROGRESS, progress=0.0)).progress == 0.0


def test_a_scheduled_start_is_remembered_when_answers_say_it_no_more() -> None:
    before = merge(None, listing(not_before=after("1h")))
    assert merge(before, listing()).not_before == after("1h")
    assert merge(before, listing(not_before=after("2h"))).not_before == after("2h")


NEW = message("a", "sent", country="AE")


@pytest.mark.parametrize(
    ("before", "listed", "changes"),
    [
        pytest.param(None, [NEW], [MessageChange(NEW, None)], id="seen-for-the-first-time"),
        pytest.param(A_SENT, [NEW], [], id="another-detail-alone"),
        pytest.param(
            A_SENT,
            [message("a", "delivered")],
            [MessageChange(message("a", "delivered"), mark("sent"))],
            id="another-status",
        ),
        pytest.param(A_DELIVERED, [message("a", "rejected")], [], id="final-already"),
        pytest.param(
            A_SENT,
            [message("c", "sent"), message("b", "sent"), message("a", "delivered")],
            [
                MessageChange(message("c", "sent"), None),
                MessageChange(message("b", "sent"), None),
                MessageChange(message("a", "delivered"), mark("sent")),
            ],
            id="in-the-provider's-order",
        ),
        pytest.param(A_SENT, [], [], id="none-listed"),
    ],
)
def test_a_message_changes_when_its_status_is_new_or_another(
    before: Snapshot | None, listed: list[Message], changes: list[MessageChange]
) -> None:
    assert list(changed_messages(before, listing(*listed))) == changes
