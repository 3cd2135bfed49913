"""One call that may block for very long, in a thread of its own, which holds up nobody. What it does is its caller's.

asyncio and not anyio: the word that it is over comes from a foreign thread, which waits for nobody.
"""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Aside(Generic[T]):
    """A call that began just now. Whoever waits for it may give up, and it goes on; others may wait for it after that.

    No thread of a pool: those of libuv are four for all that a process does, anyio counts one that is abandoned as
    free while it still blocks, and all are waited for as the process ends. This one is a daemon.
    """

    def __init__(self, call: Callable[[], T], *, name: str, then: Callable[[], None] = lambda: None) -> None:
        """Begin; `then` is called in the event loop once the call is over, not before this returns.

        Raises:
            OSError: there is no room for a thread.

        """
        self._call = call
        self._then = then
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._over = anyio.Event()
        self._returned: list[T] = []
        self._raised: Exception | None = None
        try:
            threading.Thread(target=self._live, name=name, daemon=True).start()
        except RuntimeError:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None

    @property
    def is_over(self) -> bool:
        """Is there anything to be had, without waiting?"""
        return self._over.is_set()

    @property
    def age(self) -> float:
        """How many seconds ago did it begin?"""
        return self._loop.time() - self._began_at

    async def result(self) -> T:
        """Wait for what the call returns, or raise what it raises."""
        await self._over.wait()
        if self._raised is not None:
            raise copy(self._raised)  # one for each, or its traceback would hold who waits, and be held by this
        return self._returned[0]

    def _live(self) -> None:
        try:
            self._returned.append(self._call())
        except Exception as error:  # noqa: BLE001  # the border of the thread: whatever it is, who waits learns it
            self._raised = error.with_traceback(None)
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._over.set()
        self._then()
