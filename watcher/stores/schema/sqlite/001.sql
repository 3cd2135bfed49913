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
    sequence INTEGER NOT NULL DEFAULT 0,
    changed_at INTEGER,
    status TEXT,                                 -- status and state repeat the snapshot's, for `load` and lists
    state TEXT,
    trouble TEXT,
    ending TEXT,
    finished_at INTEGER
) STRICT;
-- `load` walks the open watches by row, however many are finished.
CREATE INDEX watches_open ON watches (row) WHERE ending IS NULL;

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
    since INTEGER
) STRICT;

CREATE TABLE events (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    watch INTEGER NOT NULL,                      -- its row; of a provider as a whole, minus the condition's row
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    at INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (watch, sequence)
) STRICT;

-- A lane is what goes to one webhook of one watch; its head is the first that waits, marked when it becomes so.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    event INTEGER NOT NULL REFERENCES events (cursor),
    watch INTEGER NOT NULL,                      -- the event's
    status TEXT NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'delivered', 'exhausted')),
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    head INTEGER NOT NULL CHECK (head = 0 OR head = 1 AND status = 'waiting')
) STRICT;
CREATE INDEX deliveries_heads ON deliveries (webhook, due_at) WHERE head = 1;
CREATE UNIQUE INDEX deliveries_lanes ON deliveries (webhook, watch, event) WHERE status = 'waiting';
CREATE INDEX deliveries_exhausted ON deliveries (webhook) WHERE status = 'exhausted';
CREATE INDEX deliveries_events ON deliveries (event);

CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    delivery INTEGER NOT NULL REFERENCES deliveries (id),
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    duration REAL NOT NULL,
    status INTEGER,
    address TEXT,
    headers TEXT,                                -- headers, body and error of failed attempts only
    body BLOB,
    error TEXT
) STRICT;
CREATE INDEX attempts_deliveries ON attempts (delivery);

CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    watch INTEGER NOT NULL UNIQUE REFERENCES watches (row)
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
