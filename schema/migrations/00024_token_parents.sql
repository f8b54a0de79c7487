-- +goose Up
-- The token that a session was begun with: the session ends with it, and has its roles.
ALTER TABLE tokens ADD COLUMN parent bytea REFERENCES tokens ON DELETE CASCADE;
CREATE INDEX tokens_parent ON tokens (parent) WHERE parent IS NOT NULL;

-- +goose Down
ALTER TABLE tokens DROP COLUMN parent;
