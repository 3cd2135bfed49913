"""A call beside the event loop: it ends when it ends, and neither who asked nor the process has to wait for that."""

import gc
import subprocess
import sys
import threading
import weakref
from contextlib import suppress

import anyio
import pytest

from watcher.aside import Aside


async def test_all_who_wait_learn_what_became_of_one_call() -> None:
    go, asked, learnt = threading.Event(), list[threading.Thread](), list[str]()

    def call() -> str:
        asked.append(threading.current_thread())
        assert go.wait(20)
        return "found"

    aside = Aside(call, name="one call")

    async def learn() -> None:
        learnt.append(await aside.result())

    async with anyio.create_task_group() as waiting:
        waiting.start_soon(learn)
        with anyio.move_on_after(0.01):
            await aside.result()
        assert not aside.is_over
        waiting.start_soon(learn)
        go.set()
    assert (learnt, aside.is_over) == (["found"] * 2, True)
    assert [(thread.name, thread.daemon) for thread in asked] == [("one call", True)]


async def test_what_a_call_raises_is_raised_where_it_is_waited_for() -> None:
    aside = Aside(lambda: int("none"), name="one call")
    for _ in range(2):
        with pytest.raises(ValueError, match="none"):
            await aside.result()


class Waiting:
    """What a frame of somebody who waits holds."""


async def test_what_failed_holds_nobody_who_waited_for_it() -> None:
    aside = Aside(lambda: int("none"), name="one call")

    async def wait() -> weakref.ref[Waiting]:
        held = Waiting()
        with suppress(ValueError):
            await aside.result()
        return weakref.ref(held)

    gc.disable()
    try:
        assert [(await wait())() for _ in range(2)] == [None, None]
    finally:
        gc.enable()


async def test_without_room_for_a_thread_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        Aside(lambda: None, name="one call")


PROGRAM = """
import anyio, threading, time
from watcher.aside import Aside

begun = threading.Event()

def call():
    begun.set()
    time.sleep({takes})

async def main():
    with anyio.move_on_after(0.1):
        await Aside(call, name="one call").result()
    assert begun.is_set()

began = time.monotonic()
anyio.run(main, backend_options={{"use_uvloop": True}})
time.sleep({then})
print("after", "ample" if time.monotonic() - began > 30 else "little", "time")
"""


@pytest.mark.parametrize(("takes", "then"), [(60, 0), (0.3, 1)], ids=["before the call", "after the call"])
def test_a_process_ends_whether_a_call_did_or_not(takes: float, then: float) -> None:
    program = PROGRAM.format(takes=takes, then=then)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "after little time\n", "")
