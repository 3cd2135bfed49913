"""Running `watcher` as its users do: a process of its own, in a folder of its own."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import forked
import orjson

from watcher.core.model import Json


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Json:
        found: Json = orjson.loads(self.out)
        return found

    @property
    def lines(self) -> list[Json]:
        """Return what is said as JSON, a line each."""
        return [orjson.loads(line) for line in self.out.splitlines()]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Return the lines `name: value`, in order."""
        pairs = (line.partition(":") for line in self.out.partition("\n\n")[0].splitlines())
        return [(name, value.strip()) for name, _, value in pairs]


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder with a configuration; `environ` is all that a command sees of the environment."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "watcher.toml"

    @property
    def database(self) -> Path:
        return self.folder / "watcher.db"

    async def run(self, *arguments: str, written: bytes = b"") -> Done:
        """Run a command in the folder, whose configuration it finds by itself, with this on its standard input."""
        environ = {"PATH": os.environ["PATH"], "COLUMNS": "200", **self.environ}
        done = await forked.run(*arguments, folder=self.folder, environ=environ, written=written)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())
