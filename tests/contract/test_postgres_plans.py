"""What PostgreSQL does for what is asked all the time: it reads an index, and no more of it than it returns."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import orjson
from anyio import to_thread
from postgres_server import shared_server

from watcher.stores import (
    postgres_endpoints,
    postgres_hasten,
    postgres_intents,
    postgres_lanes,
    postgres_outbox,
    postgres_prune,
    postgres_records,
    postgres_replay,
    postgres_sent,
    postgres_settled,
    postgres_steps,
    postgres_watches,
)
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_schema import migrations

Plan: TypeAlias = dict[str, "str | int | list[Plan]"]

EVERYTHING, HALF = range(256), range(128)
LAST = 2**62
HEADS = list(range(1, 101))
NUMBERS = [1] * 100

# What is asked, and the index that the deliveries (or watches, or events) are found by.
ASKED: dict[str, tuple[str, tuple[object, ...], str]] = {
    "load": (postgres_watches.LOAD, (0, EVERYTHING, None, 10), "watches_open"),
    "write steps": (
        postgres_steps.UPDATE,
        ([0], ["u1"], [0], [1], [1], ["sent"], ["pending"], [None], [1], [None], [None]),
        "watches_uid_key",
    ),
    "address": (postgres_steps.DELIVER, (["ops"], [LAST >> 20], [1], [1], [1]), "deliveries_lanes"),
    "heads": (postgres_outbox.HEADS, ("ops", 0, LAST, EVERYTHING, HEADS[:50], 10), "deliveries_heads"),
    "heads of some shards": (postgres_outbox.HEADS, ("ops", 0, LAST, HALF, HEADS[:50], 10), "deliveries_heads"),
    "heads again": (postgres_outbox.HEADS, ("ops", 1, LAST, EVERYTHING, [], 10), "deliveries_heads"),
    "members": (postgres_outbox.LANE, (1, 10), "deliveries_lanes"),
    "members of a batch": (postgres_outbox.BATCH, ("ops", "bat_1", EVERYTHING, 1, 10), "deliveries_batches"),
    "undelivered": (postgres_outbox.UNDELIVERED, (HALF,), "deliveries_heads"),
    "loosen": (postgres_lanes.LOOSENING, (LAST, HALF, 10), "deliveries_loosening"),
    "loosen batches": (postgres_lanes.LOOSEN_BATCHES, (["ops"], [1], ["bat_1"]), "deliveries_batches"),
    "hasten": (postgres_hasten.HASTEN, ("ops", 0, [0, 1], EVERYTHING, 10, 1), "deliveries_heads"),
    "make due": (postgres_hasten.MAKE_DUE, ("ops", 0, 0, 10), "deliveries_heads"),
    "promote": (postgres_lanes.PROMOTE, (HEADS, NUMBERS), "deliveries_lanes"),
    "deliver": (
        postgres_settled.END,
        (EVERYTHING, HEADS, ["delivered"] * 100, NUMBERS, NUMBERS, NUMBERS, NUMBERS, [""] * 100, [0.1] * 100),
        "deliveries_pkey",
    ),
    "change the order": (postgres_endpoints.NEXT, ("ops", LAST, 100), "deliveries_waiting"),
    "let go of": (postgres_endpoints.MOVE, ("ops", 1 << 20, 100 << 20, 1), "deliveries_waiting"),
    "mark heads": (postgres_endpoints.MARK, ("ops", HEADS, 1), "deliveries_lanes"),
    "intents": (postgres_intents.INTENTS, (EVERYTHING, 10), "intents_wanted"),
    "end callbacks": (postgres_settled.END_CALLBACKS, ([1], [1]), "deliveries_event_webhook_key"),
    "replay": (postgres_replay.ALL, ("new", 0, LAST, 0, [], None, 10), "deliveries_event_webhook_key"),
    "replay what was given up": (
        postgres_replay.EXHAUSTED,
        ("ops", 0, LAST, 0, [], None, 10),
        "deliveries_exhausted",
    ),
    "replay by id": (postgres_replay.NAMED, (["e1"], None, 0, "", LAST, 10), "deliveries_event_webhook_key"),
    "give up": (postgres_prune.LONGEST, (["ops"], 1, 10), "deliveries_waiting"),
    "forget details": (postgres_prune.KEPT, (1, 10), "watches_kept"),
    "forget events": (postgres_prune.OF_WATCHES, ([1], 10), "deliveries_event_webhook_key"),
    "forget ids": (postgres_prune.FORGET_IDS, (1, 10), "watches_forgotten"),
    "events": (postgres_records.EVENTS, (100, None, 10), "events_pkey"),
    "events of a watch": (postgres_records.EVENTS_OF_WATCH, (0, None, 10, "w1"), "events_watch_sequence_key"),
    "deliveries": (postgres_sent.DELIVERIES, (100, None, 10, None, None), "deliveries_pkey"),
    "deliveries of an event": (
        postgres_sent.OF_EVENT,
        (0, None, 10, None, None, "e1"),
        "deliveries_event_webhook_key",
    ),
}


@asynccontextmanager
async def filled(*, watches: int, events: int) -> AsyncIterator[Database]:
    """Give our tables, in a schema of their own, with watches, and as many events of each, which wait for `ops`."""
    db = await asyncpg.connect(shared_server().url, statement_cache_size=0)
    await db.execute("CREATE SCHEMA plans; SET search_path = plans")
    try:
        for script in await to_thread.run_sync(migrations):
            await db.execute(script)
        await db.execute(FILL.format(watches=watches, all=watches * events))
        yield db
    finally:
        await db.execute("ROLLBACK; DROP SCHEMA plans CASCADE")
        await db.close()


FILL = """
    INSERT INTO watches (uid, shard, id, provider, params, labels, submitted_at, accepted_at, deadline, deadline_at)
    SELECT 'u' || n, n % 256, 'w' || n, 'd7', '{{}}', '{{}}', n, n, 1, 1 FROM generate_series(1, {watches}) AS n;
    INSERT INTO events (id, watch, sequence, type, at, body)
    SELECT 'e' || n, 1 + (n - 1) % {watches}, n, 'watch.finished', n, '' FROM generate_series(1, {all}) AS n;
    INSERT INTO deliveries (webhook, event, watch, shard, place, loose, head, due_at)
    SELECT 'ops', cursor, watch, watch % 256, cursor << 20, 0, (sequence <= {watches})::int, at FROM events;
    INSERT INTO intents (cancel, shard) SELECT row, shard FROM watches;
    ANALYZE
"""


async def explained(db: Database, sql: str, *values: object) -> Plan:
    """Carry a statement out, undo it, and return what PostgreSQL did."""
    await db.execute("BEGIN")
    text = await db.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *values)
    await db.execute("ROLLBACK")
    plan: Plan = orjson.loads(text)[0]["Plan"]
    return plan


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    below = plan.get("Plans", [])
    assert isinstance(below, list)
    for one in below:
        yield from nodes(one)


def pages(plan: Plan) -> int:
    """Count the pages that were read."""
    hit, read = plan["Shared Hit Blocks"], plan["Shared Read Blocks"]
    assert isinstance(hit, int)
    assert isinstance(read, int)
    return hit + read


BEHIND = [
    *("heads", "heads of some shards", "members", "undelivered", "loosen", "promote", "deliver"),
    *("change the order", "let go of", "mark heads"),
]


async def test_what_is_asked_all_the_time_reads_its_own_index() -> None:
    async with filled(watches=2000, events=10) as db:
        for name, (sql, values, index) in ASKED.items():
            found = list(nodes(await explained(db, sql, *values)))
            assert index in {node.get("Index Name") for node in found}, (name, found)
            whole = {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"}
            assert not whole & {"deliveries", "events"}, (name, found)


async def test_what_waits_behind_costs_nothing() -> None:
    costs = []
    for events in (20, 400):
        async with filled(watches=100, events=events) as db:
            behind = [ASKED[name][:2] for name in BEHIND]
            costs.append([pages(await explained(db, sql, *values)) for sql, values in behind])
    few, many = (dict(zip(BEHIND, cost, strict=True)) for cost in costs)
    assert {name: (few[name], cost) for name, cost in many.items() if cost > 2 * few[name]} == {}


async def test_what_waits_for_other_workers_is_passed_over_in_the_index() -> None:
    async with filled(watches=20_000, events=1) as db:
        plan = await explained(db, postgres_outbox.HEADS, "ops", 0, LAST, [999], [], 10)
        assert pages(plan) < 20_000 / 50
        plan = await explained(db, postgres_intents.INTENTS, [999], 10)
        assert pages(plan) < 20_000 / 50
