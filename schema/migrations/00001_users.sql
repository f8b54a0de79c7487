-- +goose Up
-- One row per person. The row is also the lock that puts a person's decisions, reverts and preference changes into
-- one order: whoever writes one of them takes it FOR NO KEY UPDATE before inserting the outbox row.
CREATE TABLE users (
    id         text        PRIMARY KEY CONSTRAINT users_id_length CHECK (length(id) BETWEEN 1 AND 200),
    roles      text[]      NOT NULL DEFAULT '{owner}',
    addresses  text[]      NOT NULL DEFAULT '{}', -- the person's own addresses, lower case
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Bearer tokens and browser sessions; only a SHA-256 of the secret is kept.
CREATE TABLE tokens (
    hash       bytea       PRIMARY KEY,
    user_id    text        NOT NULL REFERENCES users ON DELETE CASCADE,
    kind       text        NOT NULL CONSTRAINT tokens_kind CHECK (kind IN ('bearer', 'session', 'login')),
    name       text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);
CREATE INDEX tokens_user ON tokens (user_id);

-- The identity of this deployment, made once. Its id is part of the ce_source of everything the relay publishes.
-- The database identity tells a database restored from a backup from one that merely restarted.
CREATE TABLE deployment (
    singleton         boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id                uuid    NOT NULL DEFAULT gen_random_uuid(),
    metrics_key       uuid    NOT NULL DEFAULT gen_random_uuid(), -- secret: persons are labelled by a hash keyed with it
    system_identifier bigint,
    timeline_id       integer
);
INSERT INTO deployment DEFAULT VALUES;

-- +goose Down
DROP TABLE deployment, tokens, users;
