-- +goose Up
-- The keys by which the relay signs what it publishes. Whoever can write to Kafka sees a record's source and relay sequence,
-- but not these.
CREATE TABLE relay_keys (
    number     integer     PRIMARY KEY CONSTRAINT relay_keys_number CHECK (number > 0),
    key        bytea       NOT NULL CONSTRAINT relay_keys_size CHECK (octet_length(key) = 32),
    derived    boolean     NOT NULL, -- from the master secret; otherwise it is nowhere but here
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A term signs all of its records with one key. Terms without one began before records were signed.
ALTER TABLE relays ADD COLUMN key_number integer REFERENCES relay_keys (number);

-- Below this offset stand unsigned records of such terms; there are none behind it.
ALTER TABLE relay_partitions ADD COLUMN unsigned_to bigint NOT NULL DEFAULT 0;
UPDATE relay_partitions SET unsigned_to = next_offset;

-- The id of the event that had the last number: another event under the same number is not its repeat.
ALTER TABLE relay_sequences ADD COLUMN last_id text NOT NULL DEFAULT '';

ALTER TABLE positions
    -- Terms that began before may lack their first numbers, if reading began in the middle of the log.
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
    -- What is below was folded before, from here or from the log that this one replaced, and is read again.
    ADD COLUMN reread_to bigint NOT NULL DEFAULT 0;

-- Where each erasure was read first: read there again, it is applied again; anywhere else it was sent again.
CREATE TABLE erasure_places (
    group_name text    NOT NULL,
    version    integer NOT NULL,
    topic_id   uuid    NOT NULL,
    effect_key uuid    NOT NULL,
    partition  integer NOT NULL,
    log_offset bigint  NOT NULL,
    PRIMARY KEY (group_name, version, topic_id, effect_key)
);

-- Sources of which too many records were refused: what they wrote from an offset on is kept as dead letters.
CREATE TABLE set_aside (
    group_name  text        NOT NULL,
    topic       text        NOT NULL,
    topic_id    uuid        NOT NULL,
    partition   integer     NOT NULL,
    source      text        NOT NULL, -- ce_source; empty: of records that have none
    from_offset bigint      NOT NULL,
    to_offset   bigint,               -- where an operator let it speak again; null: not yet
    detail      text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_name, topic_id, partition, source, from_offset)
);

-- +goose Down
DROP TABLE set_aside, erasure_places;
ALTER TABLE positions DROP COLUMN created_at, DROP COLUMN reread_to;
ALTER TABLE relay_sequences DROP COLUMN last_id;
ALTER TABLE relay_partitions DROP COLUMN unsigned_to;
ALTER TABLE relays DROP COLUMN key_number;
DROP TABLE relay_keys;
