-- +goose Up
-- What the producers of job applications remember: the poller of a warehouse and the reader of change topics. No table
-- here holds an address or a name of a candidate.

-- One row per source, for people and for the next sync.
CREATE TABLE warehouse_sources (
    source      text        PRIMARY KEY,  -- such as "postgres://host/database/vw_applications_enriched"; no secret
    tried_at    timestamptz NOT NULL,     -- the start of the last sync, whatever became of it
    synced_at   timestamptz,              -- the start of the last sync that was taken over
    full_at     timestamptz,              -- the same of one that read everything
    cursor_at   timestamptz,              -- the greatest synced_at of the rows taken over; the next sync reads from before it
    newest_at   timestamptz,              -- the greatest synced_at ever seen: how fresh the warehouse is
    accepted_at timestamptz,              -- when an operator last let a held sync pass
    error       text        NOT NULL DEFAULT '', -- why the last sync failed; empty when it did not
    held_at     timestamptz,              -- since when syncs are held; null when they are not
    held_reason text        NOT NULL DEFAULT '',
    held_detail text        NOT NULL DEFAULT ''
);

-- Which source may write a system's applications: one, until an operator says another.
CREATE TABLE warehouse_systems (
    system text PRIMARY KEY,
    source text NOT NULL REFERENCES warehouse_sources
);

-- The last state of each application that was put into the outbox, in the same transaction.
CREATE TABLE warehouse_rows (
    system         text        COLLATE "C" NOT NULL,
    application_id text        COLLATE "C" NOT NULL,
    content_hash   bigint      NOT NULL, -- of the event without its version; tells a change from a repeat
    filled         smallint    NOT NULL, -- a bit per column that was not empty, so that a column that empties is noticed
    removed        boolean     NOT NULL,
    src_version    bigint      NOT NULL, -- the greater of the one before plus 1 and the sync's start in microseconds
    added_at       timestamptz NOT NULL, -- when it came, or came back
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (system, application_id)
) WITH (fillfactor = 80);

-- How far change topics were read, moved in the transaction that writes the rows above.
CREATE TABLE warehouse_positions (
    source      text    NOT NULL REFERENCES warehouse_sources,
    partition   integer NOT NULL,
    cluster_id  text    NOT NULL,
    topic_id    uuid    NOT NULL,
    next_offset bigint  NOT NULL,
    PRIMARY KEY (source, partition)
);

-- Who let a held sync pass, and why.
CREATE TABLE warehouse_audit (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    actor       text        NOT NULL,
    reason      text        NOT NULL,
    source      text        NOT NULL,
    held_reason text        NOT NULL, -- what would have been held; empty when nothing was
    held_detail text        NOT NULL,
    differences bigint      NOT NULL  -- how many applications it changed or removed
);

-- +goose Down
DROP TABLE warehouse_audit, warehouse_positions, warehouse_rows, warehouse_systems, warehouse_sources;
