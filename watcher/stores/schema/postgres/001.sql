-- Times are microseconds since 1970, UTC, but for leases, whose only clock is the database's. JSON is text. A watch is
-- named by its row, which is small. Rows of watches and cursors of events are given in the order of commits. There are
-- no foreign keys where much is written: their checks are planned once a connection, as for tables of that day's size.

-- Who takes part. `token` is of one process: the newest one that started under a name.
CREATE TABLE workers (
    name text PRIMARY KEY,
    token text NOT NULL,
    expires_at timestamptz NOT NULL,
    is_leaving boolean NOT NULL DEFAULT false    -- it takes part in no sharing out any more
);

-- Whose each part of the watches is, and how often it has changed hands; who writes holds its row FOR SHARE.
CREATE TABLE shards (
    shard smallint PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    worker text
);
INSERT INTO shards (shard) SELECT generate_series(0, 255);

-- Updated in place for as long as no indexed column changes; that needs room on the page.
CREATE TABLE watches (
    row bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid text NOT NULL UNIQUE,
    shard smallint NOT NULL,
    id text NOT NULL UNIQUE,
    provider text NOT NULL,
    params text NOT NULL,                        -- canonical, so that equal params are equal text
    labels text NOT NULL,
    webhooks text,                               -- null for all
    submitted_at bigint NOT NULL,
    accepted_at bigint NOT NULL,
    deadline bigint NOT NULL,
    deadline_at bigint NOT NULL,                 -- counted from a scheduled start, once one is known
    callback_url text,
    callback_secret text,                        -- sealed
    callback_ended_at bigint,                    -- from then on it counts as having none
    sequence integer NOT NULL DEFAULT 0,
    changed_at bigint,
    status text,                                 -- status and state repeat the snapshot's, for `load` and lists
    state text,
    trouble text,
    ending text,
    finished_at bigint,
    kept_since bigint                            -- its end, or when we last put it off; null if open or forgotten
) WITH (fillfactor = 80);
-- `load` walks the open watches by row, however many are finished, and passes over shards that are not asked for.
CREATE INDEX watches_open ON watches (row, shard) WHERE ending IS NULL;
-- `prune` finds those whose details may go, and then those whose ids may go.
CREATE INDEX watches_kept ON watches (kept_since) WHERE kept_since IS NOT NULL;
CREATE INDEX watches_forgotten ON watches (finished_at) WHERE ending IS NOT NULL AND kept_since IS NULL;

-- Apart from watches, because `load` must not read them: a snapshot can hold thousands of messages.
CREATE TABLE observations (
    watch bigint PRIMARY KEY,
    snapshot text NOT NULL
) WITH (fillfactor = 80);

-- What is wrong with a provider as a whole; reason and since are null while nothing is.
CREATE TABLE conditions (
    row bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL UNIQUE,
    uid text NOT NULL,
    sequence integer NOT NULL,
    reason text,
    since bigint,
    paused_until bigint,                         -- nothing is sent before; a past one means nothing any more
    paused_at bigint                             -- when that was said
);

CREATE TABLE events (
    cursor bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    watch bigint NOT NULL,                       -- its row; of a provider as a whole, minus the condition's row
    sequence integer NOT NULL,
    type text NOT NULL,
    at bigint NOT NULL,
    body bytea NOT NULL,
    UNIQUE (watch, sequence)
);
CREATE INDEX events_at ON events (at);

-- What is known of each webhook; one that has no row yet is ordered.
CREATE TABLE endpoints (
    name text PRIMARY KEY,
    ordered smallint NOT NULL,
    value text NOT NULL,
    version bigint NOT NULL,                     -- of `versions`: a worker has not seen what is above what it read last
    reached bigint                               -- what waits in places below still stands as before `ordered` changed
) WITH (fillfactor = 50);
CREATE INDEX endpoints_news ON endpoints (version);
CREATE INDEX endpoints_arranged ON endpoints (name) WHERE reached IS NOT NULL;
CREATE SEQUENCE versions;

-- A lane is what goes to one webhook of one watch; its head is the first that waits, marked when it becomes so.
CREATE TABLE deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook text NOT NULL,
    event bigint NOT NULL,                       -- its cursor
    watch bigint NOT NULL,                       -- the event's
    shard smallint NOT NULL,                     -- of the watch, or of the provider's condition
    status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'delivered', 'exhausted')),
    place bigint NOT NULL,                       -- in the lane: its event << 20; of a replay, the last place there is and 1
    loose smallint NOT NULL,                     -- stands in no lane, and so is a head
    head smallint NOT NULL CHECK (head = 0 AND (loose = 0 OR status <> 'waiting') OR head = 1 AND status = 'waiting'),
    again smallint NOT NULL DEFAULT 0,           -- was sent or given up before
    attempts integer NOT NULL DEFAULT 0,
    burnt integer NOT NULL DEFAULT 0,
    spared integer NOT NULL DEFAULT 0,
    due_at bigint NOT NULL,
    thin smallint NOT NULL DEFAULT 0,
    refused_since bigint,
    loosens_at bigint,
    batch text,
    replayed_at bigint,                          -- when it was last wanted again: since then it waits
    last_at bigint,                              -- this and the rest: of the last attempt
    last_status integer,
    last_error text,
    last_duration double precision,
    UNIQUE (event, webhook)
);
-- The shard stands last: heads come by their due time, and those of other workers are passed over in the index.
CREATE INDEX deliveries_heads ON deliveries (webhook, again, due_at, id, shard) WHERE head = 1;
CREATE INDEX deliveries_lanes ON deliveries (webhook, watch, place, event) WHERE status = 'waiting' AND loose = 0;
CREATE INDEX deliveries_loosening ON deliveries (loosens_at) WHERE loosens_at IS NOT NULL AND head = 1 AND loose = 0;
CREATE INDEX deliveries_batches ON deliveries (webhook, batch) WHERE batch IS NOT NULL AND status = 'waiting';
CREATE INDEX deliveries_waiting ON deliveries (webhook, place, shard) WHERE status = 'waiting';
CREATE INDEX deliveries_exhausted ON deliveries (webhook, event) WHERE status = 'exhausted';

-- A delivery with its event, and where it goes if its watch says that.
CREATE VIEW outbox AS
SELECT
    d.id, d.webhook, d.watch, d.shard, d.status, d.place, d.event, d.loose, d.head, d.again,
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
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery bigint NOT NULL,
    number integer NOT NULL,
    at bigint NOT NULL,
    duration double precision NOT NULL,
    status integer,
    address text,
    headers text NOT NULL,
    body bytea NOT NULL,
    error text,
    timing text NOT NULL
);
CREATE INDEX attempts_deliveries ON attempts (delivery);

CREATE TABLE intents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cancel bigint UNIQUE REFERENCES watches (row),    -- exactly one of the three is set
    shard smallint NOT NULL DEFAULT 0,                -- of the watch; of what concerns none, the steward's
    switch text,
    replay text,
    event bigint NOT NULL DEFAULT 0,                  -- what a replay looked at last: a delivery of this event
    webhook text NOT NULL DEFAULT '',                 -- to this webhook
    last bigint NOT NULL DEFAULT 0                    -- the last event (for a switch: attempt) when it was wanted
);
-- Those of other workers are passed over in the index.
CREATE INDEX intents_wanted ON intents (id, shard);

CREATE TABLE rejected (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    source text NOT NULL,
    place text NOT NULL,
    reason text NOT NULL,
    raw bytea NOT NULL,
    digest bytea NOT NULL,
    UNIQUE (source, place, digest)
);

-- How far each worker has read each source: files are of one machine.
CREATE TABLE positions (
    worker text NOT NULL,
    source text NOT NULL,
    position bytea NOT NULL,
    PRIMARY KEY (worker, source)
);
