"""Where a Redis is, and as whom it is asked: a `url` taken apart. Knows nothing of streams, and connects to nothing."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from watcher.core.secret import MASK

EXPECTED = (
    "expected redis://[user:password@]host[:port][/database], rediss:// for TLS, or unix:///path[?db=number];"
    " what a URL keeps for itself is written %XX"
)


@dataclass(frozen=True, slots=True)
class Address:
    """One database of one Redis. A `path` is a socket, and goes before `host` and `port`; the files are for TLS."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    is_encrypted: bool = False
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    @classmethod
    def read(cls, url: str) -> "Address":
        """Take a URL apart.

        Raises:
            ValueError: it is none of ours; the text says what was expected, and nothing of what was found.

        """
        try:
            return cls._read(url)
        except ValueError:  # the text of `urlsplit` may quote a part of the password
            raise ValueError(EXPECTED) from None

    @classmethod
    def _read(cls, url: str) -> "Address":
        parts = urlsplit(url)
        match parts.scheme:
            case "redis" | "rediss" if parts.hostname and not parts.query:
                path, database = None, parts.path.removeprefix("/")
            case "unix" if parts.path and not parts.hostname:
                path, database = unquote(parts.path), parts.query.removeprefix("db=")
            case _:
                raise ValueError
        return cls(
            host=parts.hostname or "",
            port=6379 if parts.port is None else parts.port,
            path=path,
            database=int(database or "0"),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            is_encrypted=parts.scheme == "rediss",
        )

    def __str__(self) -> str:
        """Say where it is, and not as whom it is asked."""
        return self.path or f"{self.host}:{self.port}"

    def hide(self, text: str) -> str:
        """Take the password out of what a server, or a library, said."""
        # "unknown command `AUTH`, with args beginning with: …": who does not know AUTH says the password again.
        text = text.partition(", with args")[0]
        return text.replace(self.password, MASK) if self.password else text
