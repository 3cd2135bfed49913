-- Times are integer microseconds since 1970, UTC. JSON is text. A watch is named by its row, which is small.

-- The one row says how often the store has changed hands.
CREATE TABLE meta (
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO meta (epoch) VALUES (0);

CREATE TABLE watches (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL UNIQUE,
    id TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    params TEXT NOT NULL,                        -- canonical, so that equal params are equal text
    labels TEXT NOT NULL,
    webhooks TEXT,                               -- null for all
    submitted_at INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    deadline INTEGER NOT NULL,
    deadline_at INTEGER NOT NULL,                -- counted from a scheduled start, once one is known
    callback_url TEXT,
    callback_secret TEXT,                        -- sealed
    callback_ended_at INTEGER,                   -- from then on it counts as having none
    sequence INTEGER NOT NULL DEFAULT 0,
    changed_at INTEGER,
    status TEXT,                                 -- status and state repeat the snapshot's, for `load` and lists
    state TEXT,
    trouble TEXT,
    ending TEXT,
    finished_at INTEGER,
    kept_since INTEGER                           -- its end, or when we last put it off; null if open or forgotten
) STRICT;
-- `load` walks the open watches by row, however many are finished.
CREATE INDEX watches_open ON watches (row) WHERE ending IS NULL;
-- `prune` finds those whose details may go, and then those whose ids may go.
CREATE INDEX watches_kept ON watches (kept_since) WHERE kept_since IS NOT NULL;
CREATE INDEX watches_forgotten ON watches (finished_at) WHERE ending IS NOT NULL AND kept_since IS NULL;

-- Apart from watches, because `load` must not read them: a snapshot can hold thousands of messages.
CREATE TABLE observations (
    watch INTEGER PRIMARY KEY REFERENCES watches (row),
    snapshot TEXT NOT NULL
) STRICT;

-- What is wrong with a provider as a whole; reason and since are null while nothing is.
CREATE TABLE conditions (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL UNIQUE,
    uid TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    reason TEXT,
    since INTEGER,
    paused_until INTEGER,                        -- nothing is sent before; a past one means nothing any more
    paused_at INTEGER                            -- when that was said
) STRICT;

CREATE TABLE events (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    watch INTEGER NOT NULL,                      -- its row; of a provider as a whole, minus the condition's row
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    at INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (watch, sequence)
) STRICT;
CREATE INDEX events_at ON events (at);

-- What is known of each webhook; one that has no row yet is ordered.
CREATE TABLE endpoints (
    name TEXT PRIMARY KEY,
    ordered INTEGER NOT NULL,
    value TEXT NOT NULL,
    reached INTEGER                              -- what waits in places below still stands as before `ordered` changed
) STRICT, WITHOUT ROWID;
CREATE INDEX endpoints_arranged ON endpoints (name) WHERE reached IS NOT NULL;

-- A lane is what goes to one webhook of one watch; its head is the first that waits, marked when it becomes so.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    event INTEGER NOT NULL REFERENCES events (cursor),
    watch INTEGER NOT NULL,                      -- the event's
    status TEXT NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'delivered', 'exhausted')),
    place INTEGER NOT NULL,                      -- in the lane: its event << 20; of a replay, the last place there is and 1
    loose INTEGER NOT NULL,                      -- stands in no lane, and so is a head
    head INTEGER NOT NULL CHECK (head = 0 AND (loose = 0 OR status <> 'waiting') OR head = 1 AND status = 'waiting'),
    again INTEGER NOT NULL DEFAULT 0,            -- was sent or given up before
    attempts INTEGER NOT NULL DEFAULT 0,
    burnt INTEGER NOT NULL DEFAULT 0,
    spared INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    thin INTEGER NOT NULL DEFAULT 0,
    refused_since INTEGER,
    loosens_at INTEGER,
    batch TEXT,
    replayed_at INTEGER,                         -- when it was last wanted again: since then it waits
    last_at INTEGER,                             -- this and the rest: of the last attempt
    last_status INTEGER,
    last_error TEXT,
    last_duration REAL,
    UNIQUE (event, webhook)
) STRICT;
CREATE INDEX deliveries_heads ON deliveries (webhook, again, due_at) WHERE head = 1;
CREATE INDEX deliveries_lanes ON deliveries (webhook, watch, place, event) WHERE status = 'waiting' AND loose = 0;
CREATE INDEX deliveries_loosening ON deliveries (loosens_at) WHERE loosens_at IS NOT NULL AND head = 1 AND loose = 0;
CREATE INDEX deliveries_batches ON deliveries (webhook, batch) WHERE batch IS NOT NULL AND status = 'waiting';
CREATE INDEX deliveries_waiting ON deliveries (webhook, place) WHERE status = 'waiting';
CREATE INDEX deliveries_exhausted ON deliveries (webhook, event) WHERE status = 'exhausted';

-- A delivery with its event, and where it goes if its watch says that.
CREATE VIEW outbox AS
SELECT
    d.id, d.webhook, d.watch, d.status, d.place, d.event, d.loose, d.head, d.again,
    d.attempts, d.due_at, d.burnt, d.spared, d.thin, d.refused_since, d.loosens_at, d.batch,
    w.callback_url, w.callback_secret, w.callback_ended_at,
    e.id AS event_id, e.type, e.at, coalesce(w.uid, c.uid) AS uid, w.id AS watch_id,
    coalesce(w.provider, c.provider) AS provider, e.sequence, e.body
FROM deliveries AS d
    JOIN events AS e ON e.cursor = d.event
    LEFT JOIN watches AS w ON w.row = d.watch
    LEFT JOIN conditions AS c ON c.row = -d.watch;

-- Failed ones, whole; of a good one all that is kept stands in its delivery.
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    delivery INTEGER NOT NULL REFERENCES deliveries (id),
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    duration REAL NOT NULL,
    status INTEGER,
    address TEXT,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    error TEXT,
    timing TEXT NOT NULL
) STRICT;
CREATE INDEX attempts_deliveries ON attempts (delivery);

CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cancel INTEGER UNIQUE REFERENCES watches (row),   -- exactly one of the three is set
    switch TEXT,
    replay TEXT,
    event INTEGER NOT NULL DEFAULT 0,                 -- what a replay looked at last: a delivery of this event
    webhook TEXT NOT NULL DEFAULT '',                 -- to this webhook
    last INTEGER NOT NULL DEFAULT 0                   -- the last event (for a switch: attempt) when it was wanted
) STRICT;

CREATE TABLE rejected (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    source TEXT NOT NULL,
    place TEXT NOT NULL,
    reason TEXT NOT NULL,
    raw BLOB NOT NULL,
    digest BLOB NOT NULL,
    UNIQUE (source, place, digest)
) STRICT;

CREATE TABLE positions (
    source TEXT PRIMARY KEY,
    position BLOB NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 1;
