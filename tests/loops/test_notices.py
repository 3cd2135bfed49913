"""What the store is told of an account as a whole, and what other workers told it."""

from dataclasses import replace
from datetime import timedelta

from fakes import SpiedStore
from virtual import VirtualClock

from watcher.core.gate import Gate
from watcher.core.model import Condition, Reason
from watcher.notices import Notices
from watcher.record import Recorder

UP = Condition("d7", uid="condition of d7")


async def test_what_was_read_of_an_account_before_it_was_told_down_is_not_believed_any_more(
    store: SpiedStore, clock: VirtualClock
) -> None:
    gate = Gate(rate=1, burst=1, now=clock.monotonic(), reason=Reason.UNREACHABLE)
    recorder = Recorder(store=store, webhooks={}, wake=lambda _: None)
    notices = Notices(UP, gate=gate, recorder=recorder, clock=clock)
    await notices.tell(watches=1, error=None)
    paused = replace(UP, paused_until=clock.now() + timedelta(minutes=1))
    assert (notices.learn(paused), notices.are_told) == (False, True)
