"""Each line of a followed file is stored once, whatever happens to it and to us: histories that chance makes up."""

from pathlib import Path
from tempfile import TemporaryDirectory

from following import Watching, append, restarted
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.sources.file import MOST_RENAMED, FileSource


class World:
    """A file, those that it was renamed to, whoever writes to them, and what was stored of them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "watches.jsonl"
        self.files = [self.path]  # newest first
        self.halves: dict[Path, bytes] = {}  # what is still to be written of a last line
        self.watching = Watching(FileSource(self.path))
        self.written: list[bytes] = []
        self.stored: list[bytes] = []
        self.write(0)
        self.look()  # of a file that is renamed before anybody looked nothing can be known

    def write(self, number: int, *, shown: int = 100) -> None:
        """Write a line to one of the files, which need not be the newest; only some bytes of it at first."""
        file = self.files[number % len(self.files)]
        self.complete(file)
        line = b'{"id":"%d"}' % len(self.written)
        self.written.append(line)
        append(file, (line + b"\n")[:shown])
        self.halves[file] = (line + b"\n")[shown:]

    def complete(self, file: Path) -> None:
        append(file, self.halves.pop(file, b""))

    def look(self, *, seconds: float = 0.25) -> None:
        self.stored += [item.raw for item in self.watching.wait(seconds)]

    def lose(self) -> None:
        """Look, and fail to store what was found."""
        stored = self.watching.position
        self.watching.wait(0.25)
        self.watching.go_back(stored)

    def restart(self) -> None:
        self.watching.source._forget()
        self.watching = restarted(self.path, self.watching.position)

    def rotate(self) -> None:
        if len(self.files) <= MOST_RENAMED:
            old = self.path.with_suffix(f".{len(self.files)}")
            self.path.rename(old)
            self.halves[old] = self.halves.pop(self.path, b"")
            self.files = [self.path, old, *self.files[1:]]
            self.write(0)
            self.look(seconds=1.25)

    def end(self) -> None:
        for file in self.files:
            self.complete(file)
        self.look()
        self.watching.source._forget()


number = st.integers(min_value=0, max_value=MOST_RENAMED)
steps = st.one_of(
    st.tuples(st.just("write"), number),
    st.tuples(st.just("begin"), number),
    st.tuples(st.sampled_from(["look", "lose", "restart", "rotate"])),
)


@settings(deadline=None)
@given(st.lists(steps, max_size=30))
def test_each_line_is_stored_once(history: list[tuple[str, int] | tuple[str]]) -> None:
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        for step in history:
            match step:
                case "write", int(place):
                    world.write(place)
                case "begin", int(place):
                    world.write(place, shown=5)
                case _:
                    getattr(world, step[0])()
        world.end()
    assert sorted(world.stored) == sorted(world.written)
