"""kill -9 at any moment: nothing is lost, nothing has two ids, no number is missing, and the order of a watch holds."""

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest
import pytest_asyncio
from running import WEBHOOK_SECRET, Stage, stage, stop
from standardwebhooks import Webhook as Verifier

from watcher.core.model import Json
from watcher.demo.chime import Chime
from watcher.demo.kore import Kore
from watcher.demo.pretend import Reply, Script
from watcher.demo.receiver import Arrival

Answer: TypeAlias = "Json | Reply"

EACH = 30
KILLS = 6


class Patient(Script):
    """A script that goes on only once all events of its last answer have arrived: so nobody can miss a change.

    `needs` says the sequence of the last event of each answer but the last.
    """

    def __init__(self, *stages: Answer, needs: Sequence[int], watch: str, arrived: Mapping[str, int]) -> None:
        super().__init__([(0.0, answer) for answer in stages])
        self._needs = [0, *needs]
        self._watch = watch
        self._arrived = arrived

    def reply(self, *, now: float) -> Reply:
        if self.last is not None and self._needs and self._arrived[self._watch] < self._needs[0]:
            return self.last
        del self._needs[:1]
        return super().reply(now=now)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as world:
        yield world


def sms(name: str, *statuses: str) -> Json:
    messages: list[Json] = [{"msg_id": f"{name}-{n}", "status": status} for n, status in enumerate(statuses)]
    return {"request_id": name, "total_recipients": len(statuses), "messages": messages}


def job(status: str, progress: int) -> Json:
    return {"status": status, "percentageComplete": progress, "statusLogs": [], "streamId": Kore.bot_id}


def begin(world: Stage, number: int, arrived: Mapping[str, int]) -> list[dict[str, object]]:
    """Let each vendor know one operation that changes, and return the requests that watch them."""
    vendors, name = world.vendors, f"op-{number}"
    pending: list[Json] = [{"id": name, "state": "PENDING", "progress": progress} for progress in (0, 50)]
    words = [sms(name, word, word) for word in ("scheduled", "sent", "delivered")]
    chats: list[Json] = [{"Status": {"Value": word}} for word in ("PENDING", "SENT")]
    jobs = [job("IN_PROGRESS", 0), job("IN_PROGRESS", 50), job("SUCCESS", 100)]
    vendors.ukg.script(name, [], results=[(0.0, Reply(200, {"results": []}))])
    vendors.d7._scripts[name] = Patient(*words, needs=[3, 6], watch=f"d7 {number}", arrived=arrived)
    vendors.kore._scripts[name] = Patient(*jobs, needs=[2, 3], watch=f"kore {number}", arrived=arrived)
    vendors.chime._scripts[name] = Patient(*chats, needs=[1], watch=f"chime {number}", arrived=arrived)
    vendors.ukg._scripts[name] = Patient(*pending, Reply(303), needs=[2, 3], watch=f"ukg {number}", arrived=arrived)
    chat = {"channel_arn": Chime.channel_arn, "message_id": name}
    return [
        {"id": f"d7 {number}", "provider": "d7", "params": {"request_id": name}},
        {"id": f"kore {number}", "provider": "kore", "params": {"request_id": name}},
        {"id": f"chime {number}", "provider": "chime", "params": chat},
        {"id": f"ukg {number}", "provider": "ukg", "params": {"id": name}},
    ]


def expected(provider: str) -> list[tuple[str, Json, Json]]:
    """Return the changes of each of a provider's watches, by hand: type, from, to."""
    message, progress, status = "message.status.changed", "watch.progress.changed", "watch.status.changed"
    finished = ("watch.finished", None, "succeeded")
    changes: dict[str, list[tuple[str, Json, Json]]] = {
        "d7": [
            *[(message, None, "scheduled")] * 2,
            (status, None, "pending"),
            *[(message, "scheduled", "sent")] * 2,
            (status, "pending", "in_progress"),
            *[(message, "sent", "delivered")] * 2,
            (status, "in_progress", "succeeded"),
            finished,
        ],
        "kore": [
            (progress, None, 0),
            (status, None, "IN_PROGRESS"),
            (progress, 0, 50),
            (progress, 50, 100),
            (status, "IN_PROGRESS", "SUCCESS"),
            finished,
        ],
        "chime": [(status, None, "PENDING"), (status, "PENDING", "SENT"), finished],
        "ukg": [
            (progress, None, 0),
            (status, None, "PENDING"),
            (progress, 0, 50),
            (status, "PENDING", "SUCCESSFUL"),
            finished,
        ],
    }
    return changes[provider]


async def all_finished(world: Stage) -> None:
    ended: set[str | None] = set()
    while len(ended) < 4 * EACH:
        ended.update(a.watch for a in world.receiver.arrivals if a.type == "watch.finished" and a.answered < 300)
        await anyio.sleep(0.1)


@pytest.mark.timeout(90)
async def test_a_daemon_that_is_killed_again_and_again_tells_every_change_in_order(world: Stage) -> None:
    dice = random.Random(20261123)
    arrived = Counter[str]()

    def count(arrival: Arrival) -> None:
        if arrival.answered < 300 and arrival.watch and arrival.sequence:
            arrived[arrival.watch] = max(arrived[arrival.watch], arrival.sequence)

    world.receiver._tell = count
    world.ask_for(*(request for number in range(EACH) for request in begin(world, number, arrived)))
    for _ in range(KILLS):
        async with world.daemon(is_ready=False) as process:
            await anyio.sleep(dice.uniform(0, 1))  # the moment of death is the point
            process.kill()
            await process.wait()
    async with world.daemon() as process:
        with anyio.fail_after(60):
            await all_finished(world)
        assert await stop(process) == 0

    ids: dict[tuple[str | None, int | None], set[str]] = defaultdict(set)
    told: dict[str, list[tuple[str, Json, Json]]] = defaultdict(list)
    verifier, seen = Verifier(WEBHOOK_SECRET), set()
    for arrival in world.receiver.arrivals:
        verifier.verify(arrival.body, {name.lower(): value for name, value in arrival.headers.items()})
        ids[arrival.watch, arrival.sequence].add(arrival.id)
        if arrival.id not in seen and arrival.watch is not None:
            seen.add(arrival.id)
            told[arrival.watch].append((arrival.type, arrival.before, arrival.after))
            assert arrival.sequence == len(told[arrival.watch])  # first arrivals: 1, 2, 3 … without a gap
    assert all(len(each) == 1 for each in ids.values())
    assert {watch: tuple(changes) for watch, changes in told.items()} == {
        f"{provider} {number}": tuple(expected(provider))
        for provider in ("d7", "kore", "chime", "ukg")
        for number in range(EACH)
    }
