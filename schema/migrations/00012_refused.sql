-- +goose Up
-- The marks of documents that Elasticsearch refused: who waits for the index asks for their own among them.
CREATE INDEX dirty_mails_refused ON dirty_mails (mail_id) WHERE refusals > 0;

-- +goose Down
DROP INDEX dirty_mails_refused;
