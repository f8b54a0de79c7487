-- +goose Up
-- Questions that a browser has announced by POST /chat and may run once, within two minutes. Only a hash of the id is kept.
CREATE TABLE chat_streams (
    hash       bytea       PRIMARY KEY,
    user_id    text        NOT NULL REFERENCES users ON DELETE CASCADE,
    request    jsonb       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at    timestamptz
);
CREATE INDEX chat_streams_user ON chat_streams (user_id, created_at);
CREATE INDEX chat_streams_age ON chat_streams (created_at);

-- How often a person's questions were given to the language model on a day. Only the latest day counts.
CREATE TABLE chat_usage (
    user_id  text    PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    day      date    NOT NULL,
    requests integer NOT NULL
);

-- +goose Down
DROP TABLE chat_usage, chat_streams;
