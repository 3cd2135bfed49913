"""What became of deliveries: attempts, and what they mean. Each function runs inside somebody else's transaction.

Lists go to the server as arrays, a column each, so that a hundred deliveries are as few statements as one.
"""

from collections.abc import Collection, Iterable, Sequence

import orjson

from watcher.core.delivery import Attempt, Decision, Settled
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_lanes import let_go, promote
from watcher.stores.postgres_text import storable_or_none
from watcher.stores.rows import micros, micros_or_none
from watcher.stores.rows_outbox import write_timing


async def settle(db: Database, settled: Sequence[Settled], *, shards: Collection[int]) -> None:
    """Store attempts and what they mean; what is of other shards stays as it is, or was attempted by others meanwhile.

    Lanes move last, and once: several of one lane may have gone in one POST.
    """
    once = {one.delivery.id: one for one in reversed(settled)}
    ended = await _end(db, [one for one in once.values() if one.decision is not Decision.RETRY], shards=shards)
    await _end_callbacks(db, [one for one in ended if one.decision is Decision.ENDED])
    put_off = await _put_off(db, [one for one in once.values() if one.decision is Decision.RETRY], shards=shards)
    failed = [one for one in (*ended, *put_off) if one.decision is not Decision.DELIVERED]
    await _keep_attempts(db, [one for one in failed if one.is_kept])
    await promote(db, _since(ended))
    await let_go(db, _since(one for one in put_off if _is_late(one)))


def _since(settled: Iterable[Settled]) -> dict[int, int]:
    """Say when the attempt of each delivery ended."""
    return {one.delivery.id: _end_of(one.attempt) for one in settled}


def _end_of(attempt: Attempt) -> int:
    return micros(attempt.at) + round(attempt.duration * 1_000_000)


def _is_late(one: Settled) -> bool:
    """Is its delivery to hold back others no longer than till the attempt ended?"""
    loosens_at = one.delivery.loosens_at
    return loosens_at is not None and micros(loosens_at) <= _end_of(one.attempt)


async def _end(db: Database, over: Sequence[Settled], *, shards: Collection[int]) -> list[Settled]:
    """Store what is delivered or given up; return what waited until now."""
    rows = [
        (
            one.delivery.id,
            "delivered" if one.decision is Decision.DELIVERED else "exhausted",
            one.delivery.attempts,
            one.delivery.burnt,
            *_last(one.attempt),
        )
        for one in over
    ]
    return await _written(db, END, over, rows=rows, shards=shards)


END = """
    UPDATE deliveries AS d
    SET status = one.status, head = 0, attempts = one.attempts, burnt = one.burnt,
        last_at = one.at, last_status = one.answer, last_error = one.error, last_duration = one.duration
    FROM unnest(
        $2::bigint[], $3::text[], $4::integer[], $5::integer[],
        $6::bigint[], $7::integer[], $8::text[], $9::double precision[]
    ) AS one (id, status, attempts, burnt, at, answer, error, duration)
    WHERE d.id = one.id AND d.status = 'waiting' AND d.attempts = one.attempts - 1 AND d.shard = ANY ($1::smallint[])
    RETURNING d.id
"""


async def _put_off(db: Database, again: Sequence[Settled], *, shards: Collection[int]) -> list[Settled]:
    """Store what is sent again; return what waited until now."""
    rows = [
        (
            one.delivery.id,
            one.delivery.attempts,
            one.delivery.burnt,
            one.delivery.spared,
            micros(one.delivery.due_at),
            int(one.delivery.thin),
            micros_or_none(one.delivery.refused_since),
            micros_or_none(one.delivery.loosens_at),
            one.delivery.batch,
            *_last(one.attempt),
        )
        for one in again
    ]
    return await _written(db, AGAIN, again, rows=rows, shards=shards)


AGAIN = """
    UPDATE deliveries AS d
    SET again = 1, attempts = one.attempts, burnt = one.burnt, spared = one.spared, due_at = one.due_at,
        thin = one.thin, refused_since = one.refused_since, loosens_at = one.loosens_at, batch = one.batch,
        last_at = one.at, last_status = one.answer, last_error = one.error, last_duration = one.duration
    FROM unnest(
        $2::bigint[], $3::integer[], $4::integer[], $5::integer[], $6::bigint[],
        $7::smallint[], $8::bigint[], $9::bigint[], $10::text[],
        $11::bigint[], $12::integer[], $13::text[], $14::double precision[]
    ) AS one (
        id, attempts, burnt, spared, due_at,
        thin, refused_since, loosens_at, batch,
        at, answer, error, duration
    )
    WHERE d.id = one.id AND d.status = 'waiting' AND d.attempts = one.attempts - 1 AND d.shard = ANY ($1::smallint[])
    RETURNING d.id
"""


def _last(attempt: Attempt) -> tuple[object, ...]:
    return micros(attempt.at), attempt.status, storable_or_none(attempt.error), attempt.duration


async def _written(
    db: Database, sql: str, settled: Sequence[Settled], *, rows: Sequence[tuple[object, ...]], shards: Collection[int]
) -> list[Settled]:
    """Write rows; return what was settled by that, and not before."""
    if not rows:
        return []
    found = {one for (one,) in await db.fetch(sql, list(shards), *zip(*rows, strict=True))}
    return [one for one in settled if one.delivery.id in found]


async def _keep_attempts(db: Database, failed: Sequence[Settled]) -> None:
    """Store failed attempts, whole."""
    rows = [
        (
            one.delivery.id,
            one.attempt.number,
            micros(one.attempt.at),
            one.attempt.duration,
            one.attempt.status,
            one.attempt.address,
            orjson.dumps(dict(one.attempt.headers)).decode(),
            one.attempt.body,
            storable_or_none(one.attempt.error),
            write_timing(one.attempt.timing),
        )
        for one in failed
    ]
    if rows:
        await db.execute(KEEP, *zip(*rows, strict=True))


KEEP = """
    INSERT INTO attempts (delivery, number, at, duration, status, address, headers, body, error, timing)
    SELECT * FROM unnest(
        $1::bigint[], $2::integer[], $3::bigint[], $4::double precision[], $5::integer[],
        $6::text[], $7::text[], $8::bytea[], $9::text[], $10::text[]
    )
"""


async def _end_callbacks(db: Database, ended: Sequence[Settled]) -> None:
    """Give up all that waits for the callbacks that deliveries were for, in their lanes or in none."""
    since = _since(ended)
    if since:
        await db.execute(END_CALLBACKS, list(since), list(since.values()))


END_CALLBACKS = """
    WITH gone AS (
        UPDATE watches AS w SET callback_ended_at = one.at
        FROM unnest($1::bigint[], $2::bigint[]) AS one (id, at) JOIN deliveries AS d ON d.id = one.id
        WHERE w.row = d.watch
        RETURNING d.webhook, w.row AS watch
    )
    UPDATE deliveries AS d SET status = 'exhausted', head = 0
    FROM gone JOIN events AS e ON e.watch = gone.watch
    WHERE d.event = e.cursor AND d.webhook = gone.webhook AND d.status = 'waiting'
"""
