"""Waiting until something changes in a folder. A hint only: many file systems tell nobody, and so do some changes."""

import logging
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchfiles.main import FileChange

PATIENCE = 0.25  # seconds until a wait ends by itself; a thread that waited longer could not be stopped

logging.getLogger("watchfiles").setLevel(logging.WARNING)  # that something changed is no news, not even at `debug`


class Changes:
    """What the system tells of one folder, not of those in it; where it tells nothing, a wait just takes its time."""

    def __init__(self, folder: Path) -> None:
        """Watch `folder` from the first wait on."""
        self._folder = folder
        self._told: Generator[set[FileChange], None, None] | None = None

    def wait(self) -> bool:
        """Wait for a change, in a thread and at most `PATIENCE`; return whether there was one."""
        from watchfiles import Change, watch  # noqa: PLC0415  # a megabyte, for this type of source alone

        if self._told is None:
            self._told = watch(
                self._folder,
                watch_filter=None,
                debounce=200,
                rust_timeout=int(PATIENCE * 1000),
                yield_on_timeout=True,
                debug=False,
                force_polling=False,
                recursive=False,
                ignore_permission_denied=False,
            )
        try:
            changes = next(self._told)
        except (OSError, RuntimeError):  # too many are watched, the folder is gone, a name in it is not UTF-8
            self.close()
            time.sleep(PATIENCE)
            return False
        if (Change.deleted, str(self._folder)) in changes:  # nothing is told of another one that takes its place
            self.close()
        return bool(changes)

    def close(self) -> None:
        """Watch no more; the next wait starts again."""
        if self._told is not None:
            self._told.close()
        self._told = None
