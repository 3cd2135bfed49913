"""kill -9 at any moment of a delivery: nothing is lost, no event has two ids, and no webhook sees an order reversed."""

import random
import signal
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import anyio
import pytest
from make import whsec
from running import Stage, stage, stop
from scale import scaled
from strict_receiver import GOOD, HANGING_UP, Post, StrictReceiver

from watcher.core.model import Event, EventType, Json
from watcher.core.rows import EventRow
from watcher.demo.pretend import Reply, serving
from watcher.stores.sqlite_records import SqliteRecords

SEED = 20261123
KILLS = scaled(9, long=201)
WATCHES = scaled(6, long=120)
MESSAGES = 10
LINES = 60
LOOK_EVERY = 0.001
LONGEST_SILENCE = 1.0
MOMENT = 0.01
SECRETS = {"old": whsec(b"the secret that goes away"), "new": whsec(b"the secret that takes over")}
ROTATION = [("old",), ("new", "old"), ("new",)]
WEBHOOKS = """
[webhooks.lanes]
url = "{hook}/lanes"
secret = {secrets}
retry = {retry}
[webhooks.batches]
url = "{hook}/batches"
secret = {secrets}
retry = {retry}
batch = 5
content = "thin"
[webhooks.loose]
url = "{hook}/loose"
secret = {secrets}
retry = {retry}
order = "none"
events = ["message.*", "watch.finished"]
"""
NAMES = ("lanes", "batches", "loose")
LOOSE = {EventType.MESSAGE, EventType.FINISHED}


def moody(seed: int) -> Callable[[Post], Reply]:
    """Misbehave now and then; too seldom for a breaker to open."""
    dice = random.Random(seed)
    replies = [GOOD, Reply(500), HANGING_UP, Reply(422), Reply(413)]
    return lambda _: dice.choices(replies, weights=[85, 2, 2, 8, 3])[0]


def webhooks(hook: str, secrets: tuple[str, ...]) -> str:
    return WEBHOOKS.format(hook=hook, secrets=[SECRETS[name] for name in secrets], retry=["50ms"] * 50)


def begin(world: Stage, number: int) -> dict[str, object]:
    """Let D7 know an operation whose messages are sent one by one, and return the request that watches it."""
    name = f"op-{number}"
    words = [["sent"] * sent + ["accepted"] * (MESSAGES - sent) for sent in range(MESSAGES + 1)]
    logs: list[Json] = [
        {
            "request_id": name,
            "total_recipients": MESSAGES,
            "messages": [{"msg_id": f"{name}-{place}", "status": word} for place, word in enumerate(each)],
        }
        for each in [*words, ["delivered"] * MESSAGES]
    ]
    world.vendors.d7.script(name, [(0.0, log) for log in logs])
    return {"id": f"order-{number}", "provider": "d7", "params": {"request_id": name}}


def has_all(receiver: StrictReceiver, *, watches: int) -> bool:
    """Did each webhook take the last event of each watch?"""
    taken = {(post.webhook, one) for post in receiver.posts if post.is_taken for one in post.told}
    ended = Counter(webhook for webhook, one in taken if one.type == "watch.finished")
    return all(ended[name] == watches for name in NAMES)


async def live(world: Stage, dice: random.Random) -> None:
    """Let a daemon log so many lines as the dice say, or all that it has to, and kill it: wherever it is then."""
    lines, silence = dice.randrange(LINES), 0.0
    with world.log.open("ab+") as log:
        async with world.daemon(is_ready=False) as process:
            while lines > 0 and silence < LONGEST_SILENCE:
                await anyio.sleep(LOOK_EVERY)
                added = log.read().count(b"\n")
                lines, silence = lines - added, 0.0 if added else silence + LOOK_EVERY
            await anyio.sleep(dice.uniform(0, MOMENT))
            process.kill()
            assert await process.wait() == -signal.SIGKILL


async def suffer(folder: Path, *, kills: int, watches: int) -> tuple[StrictReceiver, Stage]:
    """Let a daemon be killed so often, a third of the times under each set of secrets; then let it deliver the rest."""
    receiver = StrictReceiver(SECRETS, answer=moody(SEED), unordered=frozenset({"loose"}))
    dice = random.Random(SEED)
    async with serving(receiver.application()) as hook, stage(folder) as world:
        common = world.config.read_text()
        world.ask_for(*(begin(world, number) for number in range(watches)))
        for secrets in ROTATION:
            world.config.write_text(common + webhooks(hook, secrets))
            for _ in range(kills // len(ROTATION)):
                await live(world, dice)
        async with world.daemon() as process:
            with anyio.fail_after(60):
                while not has_all(receiver, watches=watches):
                    await anyio.sleep(0.05)
            assert await stop(process) == 0
    return receiver, world


async def stored(folder: Path) -> list[Event]:
    """Return all events, in the order of their commits."""
    records = await SqliteRecords.open(folder / "watcher.db")
    rows: list[EventRow] = []
    while page := await records.events(after=rows[-1].cursor if rows else 0, limit=1000):
        rows += page
    await records.close()
    return [row.event for row in rows]


def figures(receiver: StrictReceiver, *, kills: int) -> str:
    taken = Counter((post.webhook, one) for post in receiver.posts if post.is_taken for one in post.told)
    twice = sum(times > 1 for times in taken.values())
    return f"{kills} kills: {len(taken)} deliveries in {len(receiver.posts)} POSTs; {twice} were taken twice, 0 lost"


async def check(receiver: StrictReceiver, world: Stage) -> None:
    """Compare what was promised (the log), what is stored, and what was taken."""
    events = await stored(world.folder)
    promised = {(line["watch"], line["sequence"]) for line in world.lines("watch.changed")}
    assert promised <= {(event.watch, event.sequence) for event in events}
    last = Counter(event.watch for event in events)
    in_order = {watch: list(range(1, number + 1)) for watch, number in last.items()}
    assert receiver.taken("lanes") == receiver.taken("batches") == in_order
    for name in NAMES:
        ids = {one.id for post in receiver.posts if post.webhook == name and post.is_taken for one in post.told}
        assert ids == {event.id for event in events if name != "loose" or event.type in LOOSE}
    assert receiver.complaints == []
    signers = [set(names) for names, _ in groupby(post.verified_by for post in receiver.posts)]
    assert signers == [set(secrets) for secrets in ROTATION]
    assert not world.lines("daemon.fault")


@pytest.mark.timeout(scaled(90, long=600))
async def test_a_daemon_that_is_killed_at_any_moment_delivers_all_that_it_committed(tmp_path: Path) -> None:
    receiver, world = await suffer(tmp_path, kills=KILLS, watches=WATCHES)
    print(figures(receiver, kills=KILLS))  # noqa: T201
    await check(receiver, world)
