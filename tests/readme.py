"""Reading README.md: its code blocks by language, its tables by the heading above them. What they promise is tested."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the heading above it, the number of its first line."""

    language: str
    heading: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.language}-in-line-{self.line}"


def prose(text: str = TEXT) -> str:
    """Cut out what is inside of fences, where a comment would look like a heading."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def every_block() -> list[Block]:
    found = []
    for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        before = TEXT[: match.start()]
        headings = re.findall(r"^#+ (.*)$", prose(before), re.MULTILINE)
        found.append(Block(match[1], headings[-1], before.count("\n") + 2, match[2]))
    return found


def blocks(language: str) -> list[Block]:
    return [block for block in every_block() if block.language == language]


def block(language: str, heading: str) -> str:
    [only] = [block.text for block in blocks(language) if block.heading == heading]
    return only


def commands(text: str) -> list[list[str]]:
    """Return the words of each command of a shell block, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def table(heading: str, *, number: int = 0) -> list[dict[str, str]]:
    """Return the rows of a section's table by their heads; cells as they are written."""
    [section] = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    rows = [
        [[cell.strip() for cell in row.strip("|").split("|")] for row in found.splitlines()]
        for found in re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    ]
    heads, _, *cells = rows[number]
    return [dict(zip(heads, row, strict=True)) for row in cells]


def plain(cell: str) -> str:
    return cell.strip("`")
