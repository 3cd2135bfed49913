"""Round after round something happens to one of three workers, or to their PostgreSQL, while watches come and go on."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest
from anyio.to_thread import run_sync
from fleet import SLACK, Fleet, Worker, fleet
from postgres_server import FAST, PostgresServer
from scale import scaled

from watcher.demo.pretend import Reply

SEED = int(os.environ.get("CHAOS_SEED", "20261123"))
ROUNDS = scaled(1, long=100)
WATCHES = 12  # at a time: one ends with each round, and one is new
NAMES = ("one", "two", "three")

Fault: TypeAlias = Callable[[Fleet, Worker, random.Random], Coroutine[None, None, None]]


async def is_killed(world: Fleet, worker: Worker, dice: random.Random) -> None:
    await worker.kill()
    await anyio.sleep(dice.uniform(0, 2 * world.lease))
    await world.start(worker.name)


async def is_killed_as_it_starts(world: Fleet, worker: Worker, dice: random.Random) -> None:
    await worker.kill()
    for _ in range(3):
        again = await world.start(worker.name, is_ready=False)
        await anyio.sleep(dice.uniform(0, 0.8))
        await again.kill()
    await world.start(worker.name)


async def hangs(world: Fleet, worker: Worker, dice: random.Random) -> None:
    worker.signal(signal.SIGSTOP)
    await anyio.sleep(dice.uniform(0.2, 2.5 * world.lease))
    worker.signal(signal.SIGCONT)


async def stutters(world: Fleet, worker: Worker, dice: random.Random) -> None:
    for _ in range(10):
        worker.signal(signal.SIGSTOP)
        await anyio.sleep(dice.uniform(0, 0.7 * world.lease))
        worker.signal(signal.SIGCONT)
        await anyio.sleep(dice.uniform(0.1, 0.3))


async def is_drained(world: Fleet, worker: Worker, dice: random.Random) -> None:
    assert await worker.drain() == 0
    await anyio.sleep(dice.uniform(0, 2 * world.lease))
    await world.start(worker.name)


async def loses_connections(world: Fleet, worker: Worker, dice: random.Random) -> None:
    for _ in range(5):
        await world.cut_connections()
        await anyio.sleep(dice.uniform(0, 0.5))


async def sees_postgresql_restarted(world: Fleet, worker: Worker, dice: random.Random) -> None:
    await run_sync(world.server.stop, dice.choice([signal.SIGQUIT, signal.SIGINT]))
    await run_sync(world.server.start)


async def is_told_to_wait(world: Fleet, worker: Worker, dice: random.Random) -> None:
    whom = dice.choice([world.provider.to, world.hook.to])
    whom.tell(worker.name, Reply(429, headers={"Retry-After": "1"}))
    await anyio.sleep(1)
    whom.relent()


async def waits_for_answers(world: Fleet, worker: Worker, dice: random.Random) -> None:
    for whom in (world.provider.to, world.hook.to):
        whom.lag[worker.name] = dice.uniform(0, 1)
    await dice.choice([hangs, is_drained, is_killed])(world, worker, dice)
    for whom in (world.provider.to, world.hook.to):
        whom.relent()


FAULTS: tuple[Fault, ...] = (
    is_killed,
    is_killed_as_it_starts,
    hangs,
    stutters,
    is_drained,
    loses_connections,
    sees_postgresql_restarted,
    is_told_to_wait,
    waits_for_answers,
)


async def suffer(world: Fleet, *, rounds: int) -> Counter[str]:
    """Let something happen so often, each time after every watch was polled again; return how often what was."""
    dice, happened = random.Random(SEED), Counter[str]()
    for _ in range(rounds):
        fault = dice.choice(FAULTS)
        happened[fault.__name__] += 1
        async with anyio.create_task_group() as meanwhile:
            meanwhile.start_soon(fault, world, world.workers[dice.choice(NAMES)], dice)
            await anyio.sleep(dice.uniform(0, 1))
            world.ask_for(1, of=world.workers[dice.choice(NAMES)])
            world.provider.ending.add(world.watches[-WATCHES])
        await world.all_polled(within=world.lease + 2 * SLACK)
    return happened


@pytest.mark.timeout(scaled(60, long=1200))
async def test_whatever_happens_every_change_is_told_once_and_in_order(tmp_path: Path) -> None:
    server = PostgresServer(*FAST)
    try:
        await run_sync(server.start)
        async with fleet(tmp_path, server) as world:
            async with anyio.create_task_group() as starting:
                for name in NAMES:
                    starting.start_soon(world.start, name)
            world.ask_for(WATCHES, of=world.workers["one"])
            happened = await suffer(world, rounds=ROUNDS)
            await world.finish(within=60)
            print(f"{figures(world)}; {dict(happened)}")  # noqa: T201
            assert await world.complaints() == []
    finally:
        await run_sync(server.remove)


def figures(world: Fleet) -> str:
    """Say how much there was of everything."""
    polls, posts, gap = world.provider.to.visits, world.hook.posts, max(world.gaps().values())
    repeats = len(posts) - len({one for post in posts for one in post.of_watches})
    return (
        f"{len(world.watches)} watches, {len(polls)} polls, in a second at most {world.busiest()} of {world.most}, "
        f"of a watch none for {gap:.1f} s at most; {len(posts)} POSTs, {repeats} of them again"
    )
