"""Twenty watches to tell webhooks of, and what the records say became of their deliveries."""

from pathlib import Path

from watcher.stores.sqlite_records import SqliteRecords

IDS = [f"w{number}" for number in range(20)]


async def rows(path: Path, *, status: str | None = None) -> list[tuple[str, int]]:
    records = await SqliteRecords.open(path / "watcher.db")
    found = await records.deliveries(status=status)
    await records.close()
    return [(row.status, row.attempts) for row in found]
