"""Who holds which shards: taking them, keeping them, handing them over. Each function runs in a transaction.

The clock of the database is the only one here. What changes hands does so one worker at a time (`LEASING`), so that
nobody ever holds what another one believes to hold.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from watcher.core.errors import LeaseLostError
from watcher.core.lease import SHARDS, Lease, News
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_news import tell

LEASING = "SELECT pg_advisory_xact_lock(8480, 2)"


@dataclass(frozen=True, slots=True)
class Worker:
    """One process of a worker: `token` tells it from those that had the same name before."""

    name: str
    token: str
    lease: timedelta


# --- becoming and staying an owner ----------------------------------------------------------------------------


async def enter(db: Database, worker: Worker) -> None:
    """Take part from now on; whoever had this name before is told so at its next call."""
    await db.execute(LEASING)
    await db.execute("DELETE FROM workers WHERE expires_at < clock_timestamp() - interval '1 day'")
    await db.execute(
        """
        INSERT INTO workers (name, token, expires_at) VALUES ($1, $2, clock_timestamp() + $3)
        ON CONFLICT (name) DO UPDATE
            SET token = excluded.token, expires_at = excluded.expires_at, is_leaving = false
        """,
        worker.name,
        worker.token,
        worker.lease,
    )
    await tell(db, News.SHARED)


async def take_again(db: Database, worker: Worker) -> None:
    """Take what was held under our name, each under a new epoch; waits for what is just being written in it."""
    await db.execute(
        """
        UPDATE shards SET epoch = epoch + 1
        WHERE shard IN (SELECT shard FROM shards WHERE worker = $1 ORDER BY shard FOR UPDATE)
        """,
        worker.name,
    )


async def extend(db: Database, worker: Worker, *, is_leaving: bool = False) -> Lease:
    """Be an owner for another lease, and take our share of what nobody holds.

    Raises:
        LeaseLostError: another process took part under this name since.

    """
    await db.execute(LEASING)
    now = await db.fetchval(RENEW, worker.name, worker.token, worker.lease, is_leaving)
    if now is None:
        raise LeaseLostError(f"another process has started as worker {worker.name}, or this one has let go")
    rows = await db.fetch("SELECT name FROM workers WHERE expires_at > $1 AND NOT is_leaving", now)
    names = [name for (name,) in rows]
    target = 0 if is_leaving else fair(names)[worker.name]
    held = await _held(db, worker)
    if len(held) < target:
        await db.execute(TAKE, worker.name, target - len(held), now)
        held = await _held(db, worker)
    wanted = frozenset(sorted(held)[target:])
    return Lease(epochs=held, wanted=wanted, lasts=worker.lease * 2 / 3, workers=len(names))


def fair(names: Collection[str]) -> Mapping[str, int]:
    """Divide all shards among workers, as evenly as can be."""
    each, rest = divmod(SHARDS, len(names))
    return {name: each + (rank < rest) for rank, name in enumerate(sorted(names))}


async def _held(db: Database, worker: Worker) -> dict[int, int]:
    rows = await db.fetch("SELECT shard, epoch FROM shards WHERE worker = $1 ORDER BY shard", worker.name)
    return {row["shard"]: row["epoch"] for row in rows}


# All is judged as it was when the lease was renewed: ours is not over, however long the statements behind it take.
RENEW = """
    UPDATE workers SET expires_at = clock_timestamp() + $3::interval, is_leaving = $4
    WHERE name = $1 AND token = $2
    RETURNING expires_at - $3::interval
"""

# One that is just being written to by a worker whose lease is over is taken the next time.
TAKE = """
    UPDATE shards SET worker = $1, epoch = epoch + 1
    WHERE shard IN (
        SELECT s.shard FROM shards AS s LEFT JOIN workers AS w ON w.name = s.worker
        WHERE w.name IS NULL OR w.expires_at <= $3
        ORDER BY s.shard
        LIMIT $2
        FOR UPDATE OF s SKIP LOCKED
    )
"""


# --- letting go -----------------------------------------------------------------------------------------------


async def let_go(db: Database, worker: Worker, *, shards: Collection[int]) -> None:
    """Let others have some shards."""
    await db.execute(
        """
        UPDATE shards SET worker = NULL
        WHERE EXISTS (SELECT FROM workers WHERE name = $1 AND token = $2) AND shard IN (
            SELECT shard FROM shards WHERE worker = $1 AND shard = ANY($3::int[]) ORDER BY shard FOR UPDATE
        )
        """,
        worker.name,
        worker.token,
        list(shards),
    )
    await tell(db, News.SHARED)


async def leave(db: Database, worker: Worker) -> None:
    """Let others have everything, and take part no more."""
    await db.execute(LEASING)
    await let_go(db, worker, shards=range(SHARDS))
    await db.execute("DELETE FROM workers WHERE name = $1 AND token = $2", worker.name, worker.token)


# --- being an owner while one writes --------------------------------------------------------------------------


async def hold(db: Database, worker: Worker, *, shards: Collection[int], alone: bool) -> dict[int, int] | None:
    """Lock what we hold of these shards until the transaction ends, and return their epochs.

    None: we hold nothing, because our lease is over. `alone`: all shards are locked, so that no other owner writes.
    """
    rows = await db.fetch(HOLD_ALL) if alone else await db.fetch(HOLD, worker.name, list(shards))
    alive = await db.fetchval(
        "SELECT expires_at > clock_timestamp() FROM workers WHERE name = $1 AND token = $2", worker.name, worker.token
    )
    return {row["shard"]: row["epoch"] for row in rows if row["worker"] == worker.name} if alive else None


HOLD = """
    SELECT shard, epoch, worker FROM shards WHERE worker = $1 AND shard = ANY($2::int[]) ORDER BY shard FOR SHARE
"""
HOLD_ALL = "SELECT shard, epoch, worker FROM shards ORDER BY shard FOR UPDATE"
