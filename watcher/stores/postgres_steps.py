"""Writing steps: their watches, events and deliveries; and what is wrong with providers. Inside a transaction.

Lists go to the server as arrays, a column each, so that a hundred steps are as few statements as one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from watcher.core.errors import LeaseLostError, StaleWatchError, StoreError
from watcher.core.lease import News, shard_of
from watcher.core.model import Condition, Event, Report, Step, Watch
from watcher.stores.postgres_connection import FAILURES, Database, is_broken, reason, savepoint
from watcher.stores.postgres_endpoints import touch
from watcher.stores.postgres_news import tell
from watcher.stores.postgres_text import storable
from watcher.stores.postgres_writer import Held
from watcher.stores.rows import ConditionColumns, micros, micros_or_none, span, write_snapshot, write_trouble

MOST_SKEW = timedelta(minutes=1)  # of the clocks of workers

# --- steps ----------------------------------------------------------------------------------------------------


async def attempt_steps(db: Database, steps: Sequence[Step], *, held: Held) -> list[Exception | None]:
    """Write each step whole, or say why nothing of it was written; all at once, one by one where that cannot be."""
    if len(steps) > len({step.watch.uid for step in steps}):
        return await _one_by_one(db, steps, held=held)
    try:
        async with savepoint(db):
            return await _write_steps(db, steps, held=held)
    except (*FAILURES, TypeError, ValueError, OverflowError) as error:  # PostgreSQL's no, or what cannot be encoded
        if is_broken(db, error):
            raise
        if len(steps) == 1:
            return [StoreError(f"the step of watch {steps[0].watch.id} could not be written: {reason(error)}")]
    return await _one_by_one(db, steps, held=held)


async def _one_by_one(db: Database, steps: Sequence[Step], *, held: Held) -> list[Exception | None]:
    return [answer for step in steps for answer in await attempt_steps(db, [step], held=held)]


@dataclass(frozen=True, slots=True)
class _Written:
    """A step whose watch is written, and the watch's row."""

    step: Step
    row: int
    is_callback_gone: bool


async def _write_steps(db: Database, steps: Sequence[Step], *, held: Held) -> list[Exception | None]:
    answers = [_refusal(step.watch, held=held) for step in steps]
    written = await _write_watches(db, {place: step for place, step in enumerate(steps) if answers[place] is None})
    for place, step in enumerate(steps):
        if answers[place] is None and place not in written:
            answers[place] = _stale(step.watch)
    if written:
        await _write_snapshots(db, written.values())
        await _write_events(db, [told for one in written.values() for told in _told(one)])
        await _end_intents(db, written.values())
    return answers


def _refusal(watch: Watch, *, held: Held) -> Exception | None:
    epoch = held.get(shard_of(watch.uid))
    if epoch is None:
        return LeaseLostError(f"watch {watch.id} belongs to another worker")
    return None if epoch == watch.epoch else _stale(watch)


def _stale(watch: Watch) -> StaleWatchError:
    return StaleWatchError(f"watch {watch.id} is not what it was when the step was made")


async def _write_watches(db: Database, steps: Mapping[int, Step]) -> dict[int, _Written]:
    """Write the watches of steps, each with its place; those that are finished or have moved on are left out."""
    if not steps:
        return {}
    after = [(place, *_columns(step)) for place, step in steps.items()]
    rows = await db.fetch(UPDATE, *zip(*after, strict=True))
    return {row["place"]: _Written(steps[row["place"]], row["row"], row["is_callback_gone"]) for row in rows}


def _columns(step: Step) -> tuple[object, ...]:
    watch, snapshot = step.watch, step.watch.snapshot
    return (
        watch.uid,
        step.before,
        watch.sequence,
        micros_or_none(watch.changed_at),
        snapshot and storable(snapshot.status),
        snapshot and snapshot.state,
        watch.trouble and write_trouble(watch.trouble),
        micros(watch.deadline_at),
        watch.ending,
        None if watch.ending is None else micros_or_none(watch.finished_at),
    )


UPDATE = """
    UPDATE watches AS w
    SET sequence = after.sequence, changed_at = after.changed_at, status = after.status, state = after.state,
        trouble = after.trouble, deadline_at = after.deadline_at,
        ending = after.ending, finished_at = after.finished_at, kept_since = after.finished_at
    FROM unnest(
        $1::integer[], $2::text[], $3::integer[], $4::integer[], $5::bigint[], $6::text[], $7::text[],
        $8::text[], $9::bigint[], $10::text[], $11::bigint[]
    ) AS after (
        place, uid, before, sequence, changed_at, status, state,
        trouble, deadline_at, ending, finished_at
    )
    WHERE w.uid = after.uid AND w.sequence = after.before AND w.ending IS NULL
    RETURNING after.place, w.row, w.callback_ended_at IS NOT NULL AS is_callback_gone
"""


async def _write_snapshots(db: Database, written: Iterable[_Written]) -> None:
    seen = [(one.row, write_snapshot(one.step.watch.snapshot)) for one in written if one.step.watch.snapshot]
    if seen:
        await db.execute(
            """
            INSERT INTO observations (watch, snapshot) SELECT * FROM unnest($1::bigint[], $2::text[])
            ON CONFLICT (watch) DO UPDATE SET snapshot = excluded.snapshot
            """,
            *zip(*seen, strict=True),
        )


async def _end_intents(db: Database, written: Iterable[_Written]) -> None:
    """Delete the intents that were carried out, and all that is wanted of finished watches."""
    done = [one.step.intent for one in written if one.step.intent is not None]
    finished = [one.row for one in written if one.step.watch.ending is not None]
    if done or finished:
        await db.execute(
            "DELETE FROM intents WHERE id = ANY($1::bigint[]) OR cancel = ANY($2::bigint[])", done, finished
        )


# --- events ---------------------------------------------------------------------------------------------------


class _Told(NamedTuple):
    """An event, whose it is (a row of watches, or minus a row of conditions), and where it goes."""

    event: Event
    watch: int
    sequence: int
    shard: int
    to: Sequence[str]


def _told(one: _Written) -> Iterator[_Told]:
    """Say where the events of a step go: not to a callback that ended after they were addressed."""
    shard = shard_of(one.step.watch.uid)
    for event in one.step.events:
        to = [webhook for webhook in event.to if ":" not in webhook or not one.is_callback_gone]
        if event.sequence is None:
            raise TypeError("the event of a watch has a sequence")
        yield _Told(event, one.row, event.sequence, shard, to)


async def _write_events(db: Database, told: Sequence[_Told]) -> None:
    """Write events and a delivery for each webhook that they go to, at the ends of their lanes."""
    if not told:
        return
    events = [(of.event.id, of.watch, of.sequence, of.event.type, micros(of.event.at), of.event.body) for of in told]
    cursors = {row["id"]: row["cursor"] for row in await db.fetch(TELL, *zip(*events, strict=True))}
    deliveries = [
        (webhook, cursors[one.event.id], one.watch, one.shard, micros(one.event.at))
        for one in told
        for webhook in one.to
    ]
    if deliveries:
        await db.execute(DELIVER, *zip(*deliveries, strict=True))


# Cursors are given in the order of the arrays.
TELL = """
    INSERT INTO events (id, watch, sequence, type, at, body)
    SELECT id, watch, sequence, type, at, body
    FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::bigint[], $6::bytea[])
        WITH ORDINALITY AS told (id, watch, sequence, type, at, body, place)
    ORDER BY place
    RETURNING id, cursor
"""

# Of a webhook that is not ordered each stands by itself; else it is the head of its lane if nothing waits there, nor
# comes before it.
DELIVER = """
    INSERT INTO deliveries (webhook, event, watch, shard, place, due_at, loose, head)
    SELECT one.webhook, one.event, one.watch, one.shard, one.event << 20, one.due_at, lanes.loose,
        greatest(lanes.loose, (waits.id IS NULL AND one.event = min(one.event) OVER lane)::integer)
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[])
            WITH ORDINALITY AS one (webhook, event, watch, shard, due_at, number)
        LEFT JOIN endpoints AS e ON e.name = one.webhook
        CROSS JOIN LATERAL (SELECT 1 - coalesce(e.ordered, 1)) AS lanes (loose)
        LEFT JOIN LATERAL (
            SELECT d.id FROM deliveries AS d
            WHERE d.webhook = one.webhook AND d.watch = one.watch AND d.status = 'waiting' AND d.loose = 0
            ORDER BY d.place, d.event
            LIMIT 1
        ) AS waits ON true
    WINDOW lane AS (PARTITION BY one.webhook, one.watch)
    ORDER BY one.number
"""


# --- providers ------------------------------------------------------------------------------------------------


async def read_conditions(db: Database) -> list[Condition]:
    """Return the last condition of each provider that was ever down or paused."""
    rows = await db.fetch(
        "SELECT provider, uid, sequence, reason, since, paused_until, paused_at FROM conditions ORDER BY row"
    )
    return [ConditionColumns(*row).value() for row in rows]


async def write_report(db: Database, report: Report) -> None:
    """Write a provider's condition and the event that tells it, if nobody told another one meanwhile."""
    condition = report.condition
    row = await db.fetchrow(
        REPORT, condition.provider, condition.uid, condition.sequence, condition.reason, micros_or_none(condition.since)
    )
    if row is None:
        raise StaleWatchError(f"what is known of {condition.provider} is not what it was when this was found out")
    shard = shard_of(row["uid"])
    await _write_events(db, [_Told(report.event, -row["row"], condition.sequence, shard, report.event.to)])
    await touch(db, report.event.to)


REPORT = """
    INSERT INTO conditions AS known (provider, uid, sequence, reason, since)
    SELECT $1, $2, $3::integer, $4, $5
    WHERE $3 = 1 OR EXISTS (SELECT FROM conditions WHERE provider = $1)
    ON CONFLICT (provider) DO UPDATE
        SET sequence = excluded.sequence, reason = excluded.reason, since = excluded.since
        WHERE known.sequence = excluded.sequence - 1
    RETURNING row, uid
"""


async def write_pause(db: Database, condition: Condition) -> None:
    """Write until when nothing is sent to a provider; the longest that any worker was told holds.

    Not one that was told by a clock that was ahead.
    """
    await db.execute(
        """
        INSERT INTO conditions AS known (provider, uid, sequence, paused_until, paused_at) VALUES ($1, $2, 0, $3, $4)
        ON CONFLICT (provider) DO UPDATE SET paused_until = excluded.paused_until, paused_at = excluded.paused_at
            WHERE known.paused_until IS NULL OR known.paused_until < excluded.paused_until
                OR known.paused_at > excluded.paused_at + $5
        """,
        condition.provider,
        condition.uid,
        micros_or_none(condition.paused_until),
        micros_or_none(condition.paused_at),
        span(MOST_SKEW),
    )
    await tell(db, News.KNOWN)
