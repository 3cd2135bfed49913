"""Taking requests in: new watches, cancellations, refusals. Runs inside the writer's transaction."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from itertools import groupby

import orjson

from watcher.core.lease import News, shard_of
from watcher.core.model import Watch
from watcher.core.request import canonical
from watcher.core.rows import REFUSALS, Admission, Arrival
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_news import tell
from watcher.stores.postgres_text import storable
from watcher.stores.rows import micros, span

WANTED = {Admission.NEW, Admission.CANCELLING}


async def take_in(db: Database, arrivals: Sequence[Arrival], *, now: datetime) -> list[Admission]:
    """Store arrivals in order, or what is wrong with them; new watches that follow each other are few statements."""
    admissions: list[Admission] = []
    for _, some in groupby(arrivals, key=lambda arrival: arrival.watch is not None):
        run = list(some)
        watches = [arrival.watch for arrival in run if arrival.watch is not None]
        admissions += await _admit(db, watches) if watches else [await _judge(db, arrival) for arrival in run]
    await _keep_refused(db, arrivals, admissions, now=now)
    if WANTED.intersection(admissions):
        await tell(db, News.WANTED)
    return admissions


async def _judge(db: Database, arrival: Arrival) -> Admission:
    return Admission.REJECTED if arrival.cancel is None else await _cancel(db, arrival.cancel)


async def _admit(db: Database, watches: Sequence[Watch]) -> list[Admission]:
    """Store watches whose ids are new, one after the other: an id may repeat among them."""
    inserted = await db.fetchmany(ADMIT, [(place, *_columns(watch)) for place, watch in enumerate(watches)])
    new = {row["place"] for row in inserted}
    if len(new) == len(watches):
        return [Admission.NEW] * len(watches)
    ids = [watch.id for place, watch in enumerate(watches) if place not in new]
    rows = await db.fetch("SELECT id, provider, params FROM watches WHERE id = ANY($1::text[])", ids)
    known = {row["id"]: (row["provider"], row["params"]) for row in rows}
    return [
        Admission.NEW
        if place in new
        else Admission.KNOWN
        if known[watch.id] == (watch.provider, _params(watch))
        else Admission.CONFLICT
        for place, watch in enumerate(watches)
    ]


def _params(watch: Watch) -> str:
    return canonical(dict(watch.params)).decode()


def _columns(watch: Watch) -> tuple[object, ...]:
    return (
        watch.uid,
        shard_of(watch.uid),
        watch.id,
        watch.provider,
        _params(watch),
        canonical(dict(watch.labels)).decode(),
        None if watch.webhooks is None else orjson.dumps(watch.webhooks).decode(),
        watch.callback and watch.callback.url,
        watch.callback and watch.callback.secret,
        micros(watch.submitted_at),
        micros(watch.accepted_at),
        span(watch.deadline),
        micros(watch.deadline_at),
    )


ADMIT = """
    INSERT INTO watches
        (uid, shard, id, provider, params, labels, webhooks, callback_url, callback_secret,
        submitted_at, accepted_at, deadline, deadline_at)
    VALUES ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (id) DO NOTHING
    RETURNING $1::integer AS place
"""


async def _cancel(db: Database, id: str) -> Admission:
    found = await db.fetchrow("SELECT row, shard, ending IS NULL AS is_open FROM watches WHERE id = $1", id)
    if found is None:
        return Admission.UNKNOWN
    if not found["is_open"]:
        return Admission.KNOWN
    sql = "INSERT INTO intents (cancel, shard) VALUES ($1, $2) ON CONFLICT (cancel) DO NOTHING"
    await db.execute(sql, found["row"], found["shard"])
    return Admission.CANCELLING


async def _keep_refused(
    db: Database, arrivals: Sequence[Arrival], admissions: Sequence[Admission], *, now: datetime
) -> None:
    """Store what was refused, once per source and place."""
    refused = [
        (micros(now), one.source, storable(one.where), storable(reason), one.raw, _digest(one.raw))
        for one, admission in zip(arrivals, admissions, strict=True)
        if (reason := REFUSALS.get(admission, one.reason)) is not None
    ]
    if refused:
        await db.executemany(
            """
            INSERT INTO rejected (at, source, place, reason, raw, digest) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (source, place, digest) DO NOTHING
            """,
            refused,
        )


def _digest(raw: bytes) -> bytes:
    """Tell apart what stood at the same place at another time, as in a file that was rotated."""
    return blake2b(raw, digest_size=16).digest()


async def keep_position(db: Database, worker: str, *, source: str, position: bytes) -> None:
    """Store how far a worker has read a source."""
    await db.execute(
        """
        INSERT INTO positions (worker, source, position) VALUES ($1, $2, $3)
        ON CONFLICT (worker, source) DO UPDATE SET position = excluded.position
        """,
        worker,
        source,
        position,
    )


async def read_position(db: Database, worker: str, *, source: str) -> bytes | None:
    """Read how far a worker has read a source."""
    position: bytes | None = await db.fetchval(
        "SELECT position FROM positions WHERE worker = $1 AND source = $2", worker, source
    )
    return position
