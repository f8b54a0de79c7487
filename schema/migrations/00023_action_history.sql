-- +goose Up
-- What was decided, newest first: it can be taken back.
CREATE INDEX actions_history ON actions (user_id, decided_at DESC, id) WHERE status IN ('approved', 'rejected');

-- +goose Down
DROP INDEX actions_history;
