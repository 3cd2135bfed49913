"""Who has no right to the file on which a SQLite store is."""

from errno import EACCES
from pathlib import Path
from unittest.mock import Mock

import pytest

from watcher.core.errors import StoreError
from watcher.stores.sqlite_file import open_read_only
from watcher.stores.sqlite_lock import owner_process


def test_who_may_not_look_who_the_owner_is_is_told_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = tmp_path / "watcher.db", tmp_path / "watcher.db.lock"
    lock.touch()
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("os.open", Mock(side_effect=PermissionError(EACCES, "Permission denied")))
    by_whom = f"it belongs to {lock.owner()}: try it as that user"
    with pytest.raises(StoreError, match=f"^{lock} cannot be opened: Permission denied; {by_whom}$"):
        owner_process(path)


def test_who_may_not_write_beside_a_file_is_told_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text.db"
    path.write_text("no database at all")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(StoreError, match=f"; it belongs to {path.owner()}: try it as that user$"):
        open_read_only(path)
