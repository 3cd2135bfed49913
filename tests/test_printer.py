"""Printing to real pipes that are full, closed, or read late; and to a disk that is full."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest

from watcher.printer import MOST_BYTES, Printer, nowhere, printer_of

LINES = [b"line %d" % number for number in range(2000)]
MOST = 10_000  # bytes that wait
PIPE = 4096  # and that a pipe holds


def stream(descriptor: int) -> BinaryIO:
    return os.fdopen(descriptor, "wb", buffering=0, closefd=False)


def missing(number: int) -> bytes:
    return b"missing %d" % number


@dataclass(slots=True)
class Pipe:
    read_end: int
    write_end: int
    printers: list[Printer] = field(default_factory=list)

    def printer(self, *, most: int = MOST_BYTES) -> Printer:
        self.printers.append(Printer(stream(self.write_end), missing=missing, most=most))
        return self.printers[-1]

    def read(self, *, until: bytes) -> list[bytes]:
        """Read lines until one is there."""
        text = b""
        while not text.endswith(until + b"\n"):
            text += os.read(self.read_end, 1 << 20)
        return text.splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(*os.pipe())
    yield pipe
    os.close(pipe.read_end)
    for printer in pipe.printers:  # or they would print to whatever is opened next
        assert printer.flush(within=20)
    os.close(pipe.write_end)


@pytest.fixture
def narrow(pipe: Pipe) -> Pipe:
    """A pipe that holds no more than it must."""
    fcntl.fcntl(pipe.write_end, fcntl.F_SETPIPE_SZ, PIPE)
    return pipe


def fill(printer: Printer) -> int:
    """Print much more than anybody would keep; return how many lines that were."""
    for number in range(50_000):
        printer.info(b"line %d" % number)
    return 50_000


def fill_a_little(printer: Printer, turn: int) -> None:
    """Print a little more than is read meanwhile."""
    for number in range(150):
        printer.info(b"line %d" % (turn * 1000 + number))
    time.sleep(0.005)


def gaps(lines: list[bytes]) -> int:
    """Add up how many are said to be missing."""
    return sum(int(line.removeprefix(b"missing ")) for line in lines if line.startswith(b"missing "))


def numbers(lines: list[bytes]) -> list[int]:
    return [int(line.removeprefix(b"line ")) for line in lines if line.startswith(b"line ")]


def test_lines_are_printed_in_their_order(pipe: Pipe) -> None:
    printer = pipe.printer()
    for line in LINES:
        printer.info(line)
    assert printer.flush(within=20)
    assert pipe.read(until=LINES[-1]) == LINES


def test_lines_of_many_threads_stay_whole(pipe: Pipe) -> None:
    printer = pipe.printer()
    threads = [threading.Thread(target=lambda: [printer.error(line) for line in LINES]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    printer.info(b"end")
    assert sorted(pipe.read(until=b"end")[:-1]) == sorted(LINES * 4)


def test_a_pipe_that_nobody_reads_holds_nobody_up(narrow: Pipe) -> None:
    printer = narrow.printer(most=MOST)
    fill(printer)
    assert not printer.flush(within=0.01)


def test_what_is_kept_for_a_late_reader_is_bounded_in_order_and_says_what_is_missing(narrow: Pipe) -> None:
    printer = narrow.printer(most=MOST)
    total = fill(printer)
    reading: list[bytes] = []
    reader = threading.Thread(target=lambda: reading.extend(narrow.read(until=b"line 50000")))
    reader.start()
    assert printer.flush(within=20)
    printer.info(b"line 50000")
    reader.join(20)

    kept = numbers(reading)
    assert kept == sorted(kept)
    assert len(kept) + gaps(reading) == total + 1
    assert sum(map(len, reading)) < PIPE + 4 * MOST
    assert kept[-1] == total


def test_a_reader_that_is_slow_is_told_of_few_gaps_and_not_of_one_before_each_line(narrow: Pipe) -> None:
    printer = narrow.printer(most=MOST)
    fill(printer)
    told = []
    for turn in range(50):
        told += os.read(narrow.read_end, 1000).splitlines()
        fill_a_little(printer, turn)
    notes = sum(line.startswith(b"missing") for line in told)
    assert 1 <= notes < len(told) / 50


def test_a_pipe_that_is_closed_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    printer = Printer(stream(write_end), missing=missing)
    for line in LINES:
        printer.critical(line)
    assert printer.flush(within=20)
    os.close(write_end)


def test_once_a_disk_has_room_again_the_next_line_says_how_many_are_missing(pipe: Pipe) -> None:
    disk = os.open("/dev/full", os.O_WRONLY)
    printer = Printer(stream(disk), missing=missing)
    for line in LINES:
        printer.info(line)
    assert printer.flush(within=20)
    os.dup2(pipe.write_end, disk)
    printer.info(b"there is room")
    assert printer.flush(within=20)
    assert pipe.read(until=b"there is room") == [b"missing 2000", b"there is room"]
    os.close(disk)


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes three bytes, and then none for a while."""
    path, write = tmp_path / "log", os.write
    disk = os.open(path, os.O_WRONLY | os.O_CREAT)
    room = [3, 0]

    def scarce(descriptor: int, data: bytes) -> int:
        if not room:
            return write(descriptor, data)
        if not (number := room.pop(0)):
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:number])

    monkeypatch.setattr(os, "write", scarce)
    printer = Printer(stream(disk), missing=missing)
    for line in (b"first", b"second", b"third"):
        printer.info(line)
        assert printer.flush(within=20)
    assert path.read_bytes() == b"fir\nmissing 1\nsecond\nthird\n"
    os.close(disk)


def test_a_pipe_that_somebody_made_non_blocking_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.write_end, False)
    printer = pipe.printer()
    lines = [line * 100 for line in LINES]
    for line in lines:
        printer.warning(line)
    assert pipe.read(until=lines[-1]) == lines


def test_the_same_file_has_the_same_printer(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        assert printer_of(file, missing=missing) is printer_of(file, missing=missing)


def test_nowhere_takes_what_is_printed() -> None:
    printer = printer_of(nowhere(), missing=missing)
    printer.info(b"line")
    assert printer.flush(within=20)


def test_where_a_standard_file_was_closed_no_other_takes_its_place() -> None:
    program = (
        "import os; from watcher.printer import plug; plug(); plug(); print(os.open('/dev/null', os.O_RDONLY) > 2)"
    )
    command = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", sys.executable, "-c", program]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=20).stdout == b"True\n"
