"""What changed between what was seen before and what is seen now. Comparing only: no events, no times."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from watcher.core.model import Mark, Message, Observation, Snapshot, State


class MessageChange(NamedTuple):
    """One message whose status is new (`before` is None) or another."""

    message: Message
    before: Mark | None


def overall(states: Iterable[State], *, total: int | None) -> State:
    """Return the state of a watch whose provider states none: a function of its messages' states.

    `total` is how many messages there will be. No messages, or none beyond pending: pending (SPEC.md, section 4).
    """
    known = list(states)
    if all(state is State.PENDING for state in known):
        return State.PENDING
    if len(known) < (total or 0) or not all(state.is_final for state in known):
        return State.IN_PROGRESS
    succeeded = known.count(State.SUCCEEDED)
    if succeeded == len(known):
        return State.SUCCEEDED
    return State.PARTIALLY_SUCCEEDED if succeeded or State.PARTIALLY_SUCCEEDED in known else State.FAILED


def merge(before: Snapshot | None, observation: Observation) -> Snapshot:
    """Lay an observation over what was seen before.

    A message that is no longer listed keeps its last status; one that was final keeps it whatever is said later.
    Where the answer has no progress, or no scheduled start, the last one stays.
    """
    marks = dict(before.messages) if before else {}
    for change in changed_messages(before, observation):
        marks[change.message.key] = Mark(change.message.status, change.message.state)
    state = observation.state or overall((mark.state for mark in marks.values()), total=observation.total)
    last = before.progress if before else None
    return Snapshot(
        status=observation.status or state.value,
        state=state,
        progress=last if observation.progress is None else _plain(observation.progress),
        messages=marks,
        not_before=observation.not_before or (before.not_before if before else None),
    )


def _plain(number: float) -> float:
    """Write 50.0 as 50: some vendors' numbers are whole, and nobody should see which."""
    return int(number) if number == int(number) else number


def changed_messages(before: Snapshot | None, observation: Observation) -> Iterator[MessageChange]:
    """Yield the messages that are new or have another status, in the provider's order."""
    marks = before.messages if before else {}
    for message in observation.messages:
        mark = marks.get(message.key)
        if mark is None or (mark.status != message.status and not mark.state.is_final):
            yield MessageChange(message, mark)
