-- +goose Up
-- What tells a mail from another with the same Message-ID: SHA-256 as its events have it in content_hash, or empty.
ALTER TABLE mails ADD COLUMN identity_hash bytea NOT NULL DEFAULT '';
CREATE OR REPLACE VIEW live_mails AS
SELECT * FROM mails WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');

-- +goose Down
DROP VIEW live_mails;
ALTER TABLE mails DROP COLUMN identity_hash;
CREATE VIEW live_mails AS
SELECT * FROM mails WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');
