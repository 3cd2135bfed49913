"""What is dropped into a folder may be anything: nothing leads out of it, nothing blocks, nothing is taken twice."""

# ruff: noqa: ASYNC240  # a test writes a few bytes to see what the source makes of them

import errno
import os
import socket
from pathlib import Path

import pytest
from anyio.to_thread import run_sync
from drops import A, B, Looking, place

from watcher.ports import Item
from watcher.sources import dropped


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    spool = tmp_path / "spool"
    spool.mkdir()
    return spool


@pytest.fixture
async def looking(spool: Path, monkeypatch: pytest.MonkeyPatch) -> Looking:
    monkeypatch.setattr(dropped.Dropped, "is_finished", lambda self, quiet: True)
    return await Looking(spool, refusals={b"bad": "it is bad"}).open()


def rejected(name: str, what: str) -> dict[str, bytes | None]:
    return {f"rejected/{name}": None, f"rejected/{name}.error": f"{name}: expected a file, got {what}\n".encode()}


@pytest.mark.parametrize("target", ["../secret.json", "done/a.json", "nowhere"])
async def test_a_link_is_moved_as_it_is_and_not_followed(looking: Looking, spool: Path, target: str) -> None:
    (spool.parent / "secret.json").write_bytes(A)
    (spool / "link.json").symlink_to(target)
    assert await looking.look() == [Item(b"", "link.json", refused="expected a file, got a symbolic link")]
    assert (spool / "rejected" / "link.json").readlink() == Path(target)
    assert looking.tree() == rejected("link.json", "a symbolic link")


async def test_a_folder_is_rejected_with_all_that_is_in_it(looking: Looking, spool: Path) -> None:
    (spool / "sub.json").mkdir()
    place(spool / "sub.json", "a.json", A)
    await looking.look()
    assert looking.tree() == rejected("sub.json", "a folder") | {"rejected/sub.json/a.json": A}


async def test_a_pipe_is_rejected_and_nobody_waits_for_its_writer(looking: Looking, spool: Path) -> None:
    os.mkfifo(spool / "pipe.jsonl")
    await looking.look()
    assert looking.tree() == rejected("pipe.jsonl", "a pipe")


async def test_a_socket_is_rejected(looking: Looking, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(spool)  # the address of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.json")
        await looking.look()
    assert looking.tree() == rejected("s.json", "a socket")


async def test_a_file_that_becomes_a_link_before_it_is_read_is_not_followed(looking: Looking, spool: Path) -> None:
    (spool.parent / "secret.json").write_bytes(A)
    path = place(spool, "a.json", B)
    looking.source._queue.extend(await run_sync(looking.source._list, 0))
    path.unlink()
    path.symlink_to("../secret.json")
    assert await looking.look() == []
    assert await looking.look() == [Item(b"", "a.json", refused="expected a file, got a symbolic link")]
    assert looking.tree() == rejected("a.json", "a symbolic link")


async def test_a_file_that_may_not_be_read_is_rejected(
    looking: Looking, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(dropped, "_open", denied)
    place(spool, "a.json", A)
    assert await looking.look() == [Item(b"", "a.json", refused="it cannot be read: Permission denied")]
    assert looking.tree() == {
        "rejected/a.json": A,
        "rejected/a.json.error": b"a.json: it cannot be read: Permission denied\n",
    }


async def test_a_trouble_of_our_own_is_no_fault_of_the_file(
    looking: Looking, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(path: Path) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    place(spool, "a.json", A)
    with monkeypatch.context() as trouble:
        trouble.setattr(dropped, "_open", exhausted)
        with pytest.raises(OSError, match="Too many open files"):
            await looking.look()
    await looking.open()
    assert await looking.look() == [Item(A, "a.json:1")]
    assert looking.tree() == {"done/a.json": A}


async def test_bytes_that_are_not_utf_8_pass_as_they_are(looking: Looking, spool: Path) -> None:
    place(spool, "utf-16.json", '{"id": "ä"}'.encode("utf-16"), written_at=1)
    place(spool, "latin-1.jsonl", b'{"id":"\xe4"}\n' + A, written_at=2)
    assert await looking.look() == [
        Item('{"id": "ä"}'.encode("utf-16"), "utf-16.json:1"),
        Item(b'{"id":"\xe4"}', "latin-1.jsonl:1"),
        Item(A, "latin-1.jsonl:2"),
    ]


async def test_a_name_may_be_any_bytes_and_is_shown_in_utf_8(looking: Looking, spool: Path) -> None:
    name = os.fsdecode(b"gr\xfc\n\xc3\xbc.json")
    place(spool, name, b"bad")
    assert await looking.look() == [Item(b"bad", "gr\\xfc\nü.json:1")]
    assert looking.tree() == {
        f"rejected/{name}": b"bad",
        f"rejected/{name}.error": "gr\\xfc\nü.json:1: it is bad\n".encode(),
    }


# --- the folder itself ------------------------------------------------------------------------------------------


async def test_a_folder_that_does_not_exist_is_waited_for(tmp_path: Path) -> None:
    looking = Looking(tmp_path / "later")
    with pytest.raises(OSError, match="later: the folder does not exist"):
        await looking.open()
    (tmp_path / "later").mkdir()
    await looking.open()
    assert sorted(path.name for path in (tmp_path / "later").iterdir()) == ["done", "rejected"]


async def test_a_folder_that_is_deleted_is_an_error_until_it_is_made_again(looking: Looking, spool: Path) -> None:
    spool.rename(spool.with_name("old"))
    with pytest.raises(FileNotFoundError):
        await looking.look()
    with pytest.raises(OSError, match="spool: the folder does not exist"):
        await looking.open()
    spool.mkdir()
    await looking.open()
    place(spool, "a.json", A)
    await looking.look()
    assert looking.tree() == {"done/a.json": A}


async def test_done_and_rejected_are_made_as_open_as_the_folder_but_not_for_everybody(tmp_path: Path) -> None:
    tmp_path.chmod(0o2777)
    await Looking(tmp_path).open()
    assert [(tmp_path / name).stat().st_mode & 0o7777 for name in ("done", "rejected")] == [0o2770, 0o2770]


async def test_done_and_rejected_are_made_again_when_somebody_took_them_away(looking: Looking, spool: Path) -> None:
    (spool / "done").rmdir()
    (spool / "rejected").rmdir()
    place(spool, "a.json", A)
    await looking.look()
    assert looking.tree() == {"done/a.json": A}


@pytest.mark.parametrize("kind", ["link", "file"])
async def test_done_must_be_a_folder_beside_the_files(spool: Path, kind: str) -> None:
    if kind == "link":
        (spool / "done").symlink_to(spool.parent)
    else:
        (spool / "done").write_bytes(b"")
    with pytest.raises(OSError, match="done: expected a folder on the file system of"):
        await Looking(spool).open()


async def test_nothing_is_read_where_nothing_could_be_moved(
    looking: Looking, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "rejected")
    with pytest.raises(OSError, match="rejected: no permission to list it and to move files"):
        await looking.open()


async def test_a_file_that_cannot_be_moved_is_told_once_read_once_and_holds_up_no_other(
    looking: Looking, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = Path.rename

    def stuck(path: Path, target: Path) -> Path:
        if path.name == "stuck.json":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return move(path, target)

    monkeypatch.setattr(Path, "rename", stuck)
    place(spool, "stuck.json", b"bad", written_at=1)
    place(spool, "free.json", A, written_at=2)
    with pytest.raises(OSError, match=r"stuck\.json: could not be moved to .*rejected: Invalid cross-device link"):
        await looking.look()
    assert looking.tree() == {"done/free.json": A, "stuck.json": b"bad"}
    await looking.open()
    assert await looking.look(later=60) == []
    monkeypatch.undo()
    assert await looking.look(later=29) == []
    assert "stuck.json" in looking.tree()
    assert await looking.look(later=1) == []
    assert looking.tree() == {
        "done/free.json": A,
        "rejected/stuck.json": b"bad",
        "rejected/stuck.json.error": b"stuck.json:1: it is bad\n",
    }
