"""What is delivered, and what waits, moves these samples by so much, and no other. In virtual time."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeAlias

import anyio
import pytest
from fakes import Answer, Silence
from outboxes import Outbox as Hooks
from outboxes import pumps
from scraping import moved, only, sample, samples
from worlds import turning

from watcher import metrics
from watcher.core.callbacks import Callbacks
from watcher.core.webhook_section import Webhook
from watcher.core.wire import Fault, NoAnswer
from watcher.deliver import Pump
from watcher.keep import COUNT_EVERY, Keeper
from watcher.outbox import Outbox

LATE = 1000.0  # seconds: longer than any of these tests looks

Moves: TypeAlias = Mapping[str, float]

# --- deliveries -------------------------------------------------------------------------------------------------


def attempted(outcome: str, *, webhook: str = "ops", seconds: float = 0.0) -> Moves:
    """What one POST moves."""
    moves = {
        sample("watcher_deliveries_total", webhook=webhook, outcome=outcome): 1,
        sample("watcher_delivery_seconds_count", webhook=webhook): 1,
    }
    return moves | ({sample("watcher_delivery_seconds_sum", webhook=webhook): seconds} if seconds else {})


ONE_POST: dict[str, tuple[Answer | Silence, dict[str, object], Moves]] = {
    "taken": (
        Answer(204, takes=0.25),
        {},
        {
            **attempted("delivered", seconds=0.25),
            sample("watcher_event_to_delivered_seconds_count", webhook="ops"): 1,
            sample("watcher_event_to_delivered_seconds_sum", webhook="ops"): 3.25,
        },
    ),
    "failed": (Answer(500, takes=0.5), {"retry": ["1h"]}, attempted("retry", seconds=0.5)),
    "given up": (Answer(500), {"retry": "none"}, attempted("exhausted")),
}


@pytest.mark.parametrize(("answer", "section", "moves"), ONE_POST.values(), ids=ONE_POST)
async def test_a_delivery_counts_by_what_became_of_it(
    outbox: Hooks, answer: Answer | Silence, section: dict[str, object], moves: Moves
) -> None:
    hook = Webhook.model_validate({"url": "https://hooks.example/ops", "unsigned": True, **section})
    outbox.transport.script("ops", answer)
    pump = await pumping(outbox, hook, "ops")
    before = samples()
    await outbox.tell("order-42")
    await anyio.sleep(3)
    async with turning(pump):
        await anyio.sleep(1)
    assert moved(before, samples()) == moves


async def pumping(outbox: Hooks, section: Webhook | Callbacks, name: str) -> Pump:
    return Pump(
        section,
        endpoint=await outbox.store.endpoint(name, ordered=True),
        store=outbox.store,
        transport=outbox.transport,
        clock=outbox.clock,
        agent="watcher/test",
    )


async def test_what_our_own_side_could_not_send_is_told_apart(outbox: Hooks) -> None:
    outbox.transport.script("ops", Silence(NoAnswer(Fault.LOCAL, "no network")), Answer(204))
    pump = await outbox.pump()
    before = samples()
    await outbox.tell("order-42")
    async with turning(pump):
        await anyio.sleep(10)
    assert only("watcher_deliveries_total", moved(before, samples()).items()) == {
        sample("watcher_deliveries_total", webhook="ops", outcome="not_sent"): 1,
        sample("watcher_deliveries_total", webhook="ops", outcome="delivered"): 1,
    }


async def test_each_event_of_a_batch_counts_and_its_post_once(outbox: Hooks) -> None:
    pump = await outbox.pump(batch=10)
    before = samples()
    await outbox.tell("order-42", events=7)
    async with turning(pump):
        await anyio.sleep(1)
    after = moved(before, samples())
    assert after[sample("watcher_deliveries_total", webhook="ops", outcome="delivered")] == 7
    assert after[sample("watcher_delivery_seconds_count", webhook="ops")] == 1


async def test_callbacks_of_whatever_origin_count_under_one_name(outbox: Hooks) -> None:
    section = Callbacks.model_validate({"unsigned": True, "retry": ["1h"]})
    origins = [f"callback:https://{host}.example:443" for host in ("a", "b")]
    pumps = [await pumping(outbox, section, name) for name in origins]
    before = samples()
    for name in origins:
        await outbox.tell(name[-13], to=(name,))
    async with turning(*pumps):
        await anyio.sleep(1)
    assert moved(before, samples()) == {
        sample("watcher_deliveries_total", webhook="callbacks", outcome="retry"): 2,
        sample("watcher_delivery_seconds_count", webhook="callbacks"): 2,
    }
    assert "example" not in metrics.text([]).decode()


# --- what waits -------------------------------------------------------------------------------------------------


def standing(name: str, **webhooks: float) -> Moves:
    return {sample(name, webhook=webhook): value for webhook, value in webhooks.items()}


@asynccontextmanager
async def kept(hooks: Hooks, *names: str, keep: timedelta = timedelta(days=30)) -> AsyncIterator[tuple[Outbox, Keeper]]:
    """Have webhooks, which answer late if no test says otherwise, and what counts what waits for them."""
    hooks.transport._otherwise = lambda _: Answer(204, takes=LATE)
    sections = {name: Webhook(url=f"https://hooks.example/{name}", unsigned=True) for name in names}
    outbox = pumps(hooks.store, clock=hooks.clock, transport=hooks.transport)
    async with outbox.open():
        await outbox.change(sections, callbacks=None)
        yield outbox, Keeper(keep=keep, store=hooks.store, outbox=outbox, clock=hooks.clock)


async def test_what_waits_is_counted_every_ten_seconds_and_by_section(outbox: Hooks) -> None:
    await outbox.tell("a", "b", events=2, to=("ops", "gone"))
    await anyio.sleep(60)
    await outbox.tell("c", to=("gone-too", "callback:https://a.example:443", "callback:https://b.example:443"))
    async with kept(outbox, "ops", "idle") as (hooks, keeper), turning(keeper):
        await anyio.sleep(5)
        read = samples(hooks)
        await outbox.tell("d")
        assert moved(read, samples(hooks)) == {}
        await anyio.sleep(COUNT_EVERY)
        later = samples(hooks)

    waiting, age = "watcher_outbox", "watcher_oldest_undelivered_seconds"
    assert only(waiting, read.items()) == standing(waiting, ops=4, idle=0, unknown=5, callbacks=2)
    rounded = {name: round(value, 3) for name, value in only(age, read.items()).items()}
    assert rounded == standing(age, ops=60, idle=0, unknown=60, callbacks=0)
    assert only(waiting, later.items())[sample(waiting, webhook="ops")] == 5
    assert "gone" not in metrics.text([hooks]).decode()


async def test_counting_takes_a_hundredth_of_the_time_at_most(outbox: Hooks) -> None:
    outbox.store.slow["backlog"] = 0.5
    async with kept(outbox, "ops") as (_, keeper), turning(keeper):
        await anyio.sleep(200)
    assert outbox.store.calls["backlog"] == 4


async def test_what_waited_longer_than_keep_counts_as_exhausted(outbox: Hooks) -> None:
    await outbox.tell("a", events=3, to=("ops", "gone"))
    await anyio.sleep(timedelta(days=2).total_seconds())
    async with kept(outbox, "ops", keep=timedelta(days=1)) as (_, keeper):
        before = samples()
        async with turning(keeper):
            await anyio.sleep(70)
        moves = moved(before, samples())
    assert moves == {
        sample("watcher_deliveries_total", webhook=webhook, outcome="exhausted"): 3 for webhook in ("ops", "unknown")
    }


async def test_a_breaker_shows_while_it_is_open(outbox: Hooks) -> None:
    down = Silence(NoAnswer(Fault.CONNECTION, "refused"))
    outbox.transport.script("ops", *[down] * 5, Answer(204))
    outbox.transport.script("sound", Answer(204))
    breaker, read = "watcher_breaker_open", []
    async with kept(outbox, "ops", "sound") as (hooks, _keeper):
        read.append(only(breaker, samples(hooks).items()))
        await outbox.tell(*[f"w{number}" for number in range(5)], to=("ops", "sound"))
        hooks.wake_all()
        for _ in range(3):
            await anyio.sleep(20)
            read.append(only(breaker, samples(hooks).items()))
    assert read[:2] == [standing(breaker, ops=0, sound=0), standing(breaker, ops=1, sound=0)]
    assert read[-1] == standing(breaker, ops=0, sound=0)
