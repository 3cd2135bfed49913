"""Commands beside a running daemon: what they ask for is done within a second, and seen at the receiver."""

from pathlib import Path

import anyio
from running import Stage, stage

from watcher.core.model import Json


async def told(world: Stage, *, operation: str, finished: int) -> None:
    """Have one more D7 watch followed to its end."""
    message: Json = {"msg_id": operation, "status": "delivered"}
    document: Json = {"request_id": operation, "messages": [message], "total_recipients": 1}
    world.vendors.d7.script(operation, [(0, document)])
    world.ask_for({"id": operation, "provider": "d7", "params": {"request_id": operation}})
    await world.until("watch.finished", times=finished)


async def arrived(world: Stage, *, events: int) -> list[tuple[str | None, int | None, bool]]:
    """Wait for so many POSTs; return whose they were, and whether they were repeats."""
    with anyio.fail_after(20):
        while len(world.receiver.arrivals) < events:
            await anyio.sleep(0.02)
    return [(each.watch, each.sequence, each.is_repeat) for each in world.receiver.arrivals]


async def test_a_webhook_is_disabled_enabled_and_replayed_while_the_daemon_runs(tmp_path: Path) -> None:
    async with stage(tmp_path) as world, world.daemon():
        await told(world, operation="first", finished=1)
        first = [("first", sequence, False) for sequence in (1, 2, 3)]
        assert await arrived(world, events=3) == first
        await world.until("delivery.attempted", times=3)
        shown = (await world.call("show", "first")).stdout.decode().partition("\nDeliveries\n")[2]
        assert [line.split() for line in shown.splitlines()[1:]] == [
            [str(sequence), "ops", "delivered", "1", "-", "204"] for sequence in (1, 2, 3)
        ]

        assert (await world.call("webhook", "disable", "ops")).returncode == 0
        await world.until("endpoint.disabled")
        await told(world, operation="second", finished=2)
        status = (await world.call("status")).stdout.decode()
        assert "webhook ops is disabled (by command) since" in status
        assert len(world.receiver.arrivals) == 3

        assert (await world.call("webhook", "enable", "ops")).returncode == 0
        second = [("second", sequence, False) for sequence in (1, 2, 3)]
        assert await arrived(world, events=6) == first + second

        ids = [each.id for each in world.receiver.arrivals]
        assert (await world.call("replay", "--event", ids[4], ids[0])).returncode == 0
        assert sorted((await arrived(world, events=8))[6:]) == [("first", 1, True), ("second", 2, True)]
        assert (await world.call("replay", "--webhook", "ops", "--since", "1h")).returncode == 0
        await arrived(world, events=14)
        assert [each.id for each in world.receiver.arrivals[8:] if each.watch == "first"] == ids[:3]
        assert [each.id for each in world.receiver.arrivals[8:] if each.watch == "second"] == ids[3:]
