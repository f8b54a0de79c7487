-- +goose Up
-- One view for each projection table, with all of its columns, that shows the live version. A statement that reads live
-- rows reads the view; one that works on versions reads the table. A column that is added to a table later has to be added to
-- its view too.
CREATE VIEW live_weight_counts AS
SELECT * FROM weight_counts WHERE version = (SELECT live_version FROM projections WHERE group_name = 'weights');

CREATE VIEW live_policy_days AS
SELECT * FROM policy_days WHERE version = (SELECT live_version FROM projections WHERE group_name = 'policystats');

-- As before, with the columns that mails got since: parties and companies.
CREATE OR REPLACE VIEW live_mails AS
SELECT * FROM mails WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');

CREATE VIEW live_mail_addresses AS
SELECT * FROM mail_addresses WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');

CREATE VIEW live_mail_correspondents AS
SELECT * FROM mail_correspondents WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');

CREATE VIEW live_application_keys AS
SELECT * FROM application_keys WHERE version = (SELECT live_version FROM projections WHERE group_name = 'enrichment');

-- +goose Down
DROP VIEW live_application_keys, live_mail_correspondents, live_mail_addresses, live_mails, live_policy_days, live_weight_counts;
CREATE VIEW live_mails AS
SELECT version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain, recipients, list_id, received_at, category,
       risk_score, quarantined, labels, expires_at, text, truncated, amounts, content_hash, updated_at, search_words
FROM mails WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');
