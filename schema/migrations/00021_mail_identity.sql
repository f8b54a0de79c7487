-- +goose Up
-- What tells a mail from another with the same Message-ID: SHA-256 as its events have it in content_hash, or empty.
ALTER TABLE mails ADD COLUMN identity_hash bytea NOT NULL DEFAULT '';
CREATE OR REPLACE VIEW live_mails AS
SELECT * FROM mails WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');
-- A version into which nothing was folded yet is folded by the rule that knows this.
UPDATE versions v SET fold_version = 2
WHERE group_name = 'mailbox' AND NOT EXISTS (SELECT FROM positions p WHERE p.group_name = v.group_name AND p.version = v.version);

-- +goose Down
UPDATE versions v SET fold_version = 1
WHERE group_name = 'mailbox' AND NOT EXISTS (SELECT FROM positions p WHERE p.group_name = v.group_name AND p.version = v.version);
DROP VIEW live_mails;
ALTER TABLE mails DROP COLUMN identity_hash;
CREATE VIEW live_mails AS
SELECT * FROM mails WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');
