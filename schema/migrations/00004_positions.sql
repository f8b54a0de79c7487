-- +goose Up
-- The versions of each projection: one is live, others are being built, or kept for a rollback.
CREATE TABLE versions (
    group_name   text        NOT NULL, -- "weights", without the deployment's prefix
    version      integer     NOT NULL,
    fold_version integer     NOT NULL, -- of the code that folds it
    state        text        NOT NULL CONSTRAINT versions_state CHECK (state IN ('live', 'building', 'retired')),
    throttle     integer     NOT NULL DEFAULT 0,     -- records per second while building; 0: none
    paused       boolean     NOT NULL DEFAULT false, -- a building version that waits
    created_at   timestamptz NOT NULL DEFAULT now(),
    swapped_at   timestamptz,
    PRIMARY KEY (group_name, version)
);

-- The pointer that every reading view follows.
CREATE TABLE projections (
    group_name       text    PRIMARY KEY,
    live_version     integer NOT NULL,
    previous_version integer,
    FOREIGN KEY (group_name, live_version) REFERENCES versions (group_name, version)
);

-- PostgreSQL owns the position. A transaction that folds records first advances these rows by a compare-and-set on
-- (next_offset, owner_epoch): no row updated means that somebody else owns the partition, and everything is undone.
CREATE TABLE positions (
    group_name    text    NOT NULL,
    version       integer NOT NULL,
    cluster_id    text    NOT NULL,
    topic         text    NOT NULL, -- without prefix
    topic_id      uuid    NOT NULL,
    partition     integer NOT NULL,
    next_offset   bigint  NOT NULL,
    leader_epoch  integer NOT NULL DEFAULT -1, -- of the batch that holds the last record before next_offset
    owner_epoch   bigint  NOT NULL DEFAULT 0,  -- grows with every claim
    owner         text    NOT NULL DEFAULT '', -- for people: host, process and worker
    last_event_at timestamptz,                 -- the record time of the last record before next_offset
    began_at      bigint  NOT NULL,            -- where reading began; above 0 a relay's first number need not be 1
    state         text    NOT NULL DEFAULT 'running'
                  CONSTRAINT positions_state CHECK (state IN ('running', 'halted', 'replaced')),
    halt_reason   text    NOT NULL DEFAULT '',
    halt_detail   text    NOT NULL DEFAULT '',
    -- The ledger: fetched = applied + repeated + dead_lettered, in the same transaction as the effects. lost counts
    -- offsets that an operator gave up.
    fetched       bigint  NOT NULL DEFAULT 0,
    applied       bigint  NOT NULL DEFAULT 0,
    repeated      bigint  NOT NULL DEFAULT 0,
    dead_lettered bigint  NOT NULL DEFAULT 0,
    lost          bigint  NOT NULL DEFAULT 0,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_name, version, cluster_id, topic_id, partition),
    CONSTRAINT positions_ledger CHECK (fetched = applied + repeated + dead_lettered)
) WITH (fillfactor = 50);

-- The partition counts that a topic has had, as far as an operator accepted them: a record's partition must be that
-- of its key under one of them.
CREATE TABLE topic_partitions (
    cluster_id  text        NOT NULL,
    topic_id    uuid        NOT NULL,
    topic       text        NOT NULL,
    partitions  integer     NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, topic_id, partitions)
);

-- The last number applied of each relay term: the memory that makes republishing harmless without a row per event.
-- Keyed by the topic's name, so that it outlives a recreated topic.
CREATE TABLE relay_sequences (
    group_name text    NOT NULL,
    version    integer NOT NULL,
    topic      text    NOT NULL,
    partition  integer NOT NULL,
    relay_id   uuid    NOT NULL,
    last_seq   bigint  NOT NULL,
    PRIMARY KEY (group_name, version, topic, partition, relay_id)
) WITH (fillfactor = 50);

-- The effects of events that no relay stamped. effect_key is a 128-bit hash of the user and the effect id, so that
-- the table holds nothing of a person; content_hash tells a repeat from a conflict.
CREATE TABLE repeats (
    group_name   text    NOT NULL,
    version      integer NOT NULL,
    effect_key   uuid    NOT NULL,
    content_hash bigint  NOT NULL,
    PRIMARY KEY (effect_key, version, group_name)
) PARTITION BY LIST (group_name);
CREATE TABLE repeats_weights     PARTITION OF repeats FOR VALUES IN ('weights')     PARTITION BY LIST (version);
CREATE TABLE repeats_policystats PARTITION OF repeats FOR VALUES IN ('policystats') PARTITION BY LIST (version);
CREATE TABLE repeats_weights_1     PARTITION OF repeats_weights     FOR VALUES IN (1);
CREATE TABLE repeats_policystats_1 PARTITION OF repeats_policystats FOR VALUES IN (1);

-- Records that could not be applied: the outcome of the record for the version that met it and for all later ones.
CREATE TABLE dead_letters (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_name  text        NOT NULL,
    version     integer     NOT NULL, -- that met it first
    cluster_id  text        NOT NULL,
    topic       text        NOT NULL,
    topic_id    uuid        NOT NULL,
    partition   integer     NOT NULL,
    log_offset  bigint      NOT NULL,
    record_time timestamptz,
    key         bytea,
    value       bytea,                -- null when larger than 1 MiB or erased
    headers     jsonb,                -- [[name, base64 value], ...]
    value_bytes integer     NOT NULL, -- of the record, also when value is null
    reason      text        NOT NULL,
    detail      text        NOT NULL,
    user_id     text        NOT NULL DEFAULT '', -- the record's key where that names a person
    state       text        NOT NULL DEFAULT 'open'
                CONSTRAINT dead_letters_state CHECK (state IN ('open', 'redriven', 'discarded', 'erased')),
    state_note  text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (group_name, topic_id, partition, log_offset)
);
CREATE INDEX dead_letters_state ON dead_letters (group_name, state, id);

-- Who moved a position, and why.
CREATE TABLE position_audit (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    actor       text        NOT NULL,
    verb        text        NOT NULL, -- adopt, rewind, skip, swap, rollback, redrive, discard
    group_name  text        NOT NULL,
    version     integer     NOT NULL,
    topic       text        NOT NULL DEFAULT '',
    partition   integer,
    from_offset bigint,
    to_offset   bigint,
    reason      text        NOT NULL
);

INSERT INTO versions (group_name, version, fold_version, state)
VALUES ('weights', 1, 1, 'live'), ('policystats', 1, 1, 'live'), ('mailbox', 1, 1, 'live'), ('enrichment', 1, 1, 'live');
INSERT INTO projections (group_name, live_version)
VALUES ('weights', 1), ('policystats', 1), ('mailbox', 1), ('enrichment', 1);

-- +goose Down
DROP TABLE position_audit, dead_letters, repeats, relay_sequences, topic_partitions, positions, projections, versions;
