-- +goose Up
-- Files of mail that persons upload, and what became of them. The bytes are in files of a directory; a row says how many of them are
-- stored for certain.
CREATE TABLE uploads (
    id          uuid        PRIMARY KEY,
    user_id     text        NOT NULL REFERENCES users ON DELETE CASCADE,
    name        text        NOT NULL, -- the file's, for people
    size        bigint      NOT NULL CONSTRAINT uploads_size CHECK (size > 0),
    stored      bigint      NOT NULL DEFAULT 0 CONSTRAINT uploads_stored CHECK (stored BETWEEN 0 AND size),
    sha256      bytea,                           -- of the whole file, if it was announced
    fingerprint text        NOT NULL DEFAULT '', -- by which the client knows the file again
    state       text        NOT NULL DEFAULT 'receiving'
                CONSTRAINT uploads_state CHECK (state IN ('receiving', 'waiting', 'importing', 'done', 'failed')),
    -- What the import came to, in messages, but for unreadable, which counts files.
    read_bytes  bigint      NOT NULL DEFAULT 0,
    imported    integer     NOT NULL DEFAULT 0,
    broken      integer     NOT NULL DEFAULT 0,
    left_out    integer     NOT NULL DEFAULT 0,
    unreadable  integer     NOT NULL DEFAULT 0,
    reasons     text[]      NOT NULL DEFAULT '{}', -- the first of what was refused, with place and reason
    stalled     boolean     NOT NULL DEFAULT false, -- Kafka is unavailable, and the import waits
    error       text        NOT NULL DEFAULT '',
    -- Where the person's mail ended in the log when all of it was acknowledged: what is below has been imported.
    partition   integer,
    end_offset  bigint,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX uploads_user ON uploads (user_id, created_at);
-- What is imported next.
CREATE INDEX uploads_waiting ON uploads (user_id, created_at) WHERE state IN ('waiting', 'importing');

-- Persons who look around with sample mail, until when, and who made them.
ALTER TABLE users ADD COLUMN demo_until timestamptz, ADD COLUMN demo_of text;
CREATE INDEX users_demo ON users (demo_until) WHERE demo_until IS NOT NULL;

-- +goose Down
DROP INDEX users_demo;
ALTER TABLE users DROP COLUMN demo_until, DROP COLUMN demo_of;
DROP TABLE uploads;
