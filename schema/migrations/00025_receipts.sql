-- +goose Up
-- What the mailbox fold found of money in a mail: to whom, and how much in which currency, negative for a refund. All are NULL in a mail
-- that is no receipt, and then take no room. receipt_key is the same for all forms of a merchant's name. html is the mail's HTML as it was
-- sent, which only a reader of that mail looks at; NULL if it has none. Nothing ever wrote amounts.
DROP VIEW live_mails;
ALTER TABLE mails
    DROP COLUMN amounts,
    ADD COLUMN receipt_merchant text,
    ADD COLUMN receipt_key      text COLLATE "C",
    ADD COLUMN receipt_amount   numeric,
    ADD COLUMN receipt_currency text COLLATE "C",
    ADD COLUMN html             text,
    ADD CONSTRAINT mails_receipt_whole CHECK (num_nulls(receipt_merchant, receipt_key, receipt_amount, receipt_currency) IN (0, 4));

-- Packed by lz4 like texts. A new version has the compression of mails.
-- +goose StatementBegin
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN SELECT 'mails'::regclass UNION ALL SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'mails'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN html SET COMPRESSION lz4', relation);
    END LOOP;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'this PostgreSQL has no lz4: HTML is packed as before';
END
$$;
-- +goose StatementEnd

-- A person's receipts, newest first. Sums and duplicates are computed from the index alone, which therefore has the version too.
CREATE INDEX mails_receipts ON mails (user_id, received_at DESC, id DESC)
    INCLUDE (version, receipt_key, receipt_amount, receipt_currency, receipt_merchant) WHERE receipt_amount IS NOT NULL;

CREATE VIEW live_mails AS
SELECT * FROM mails WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');

-- A version into which nothing was folded yet is folded by the rule that knows receipts and keeps HTML.
UPDATE versions v SET fold_version = 4
WHERE group_name = 'mailbox' AND NOT EXISTS (SELECT FROM positions p WHERE p.group_name = v.group_name AND p.version = v.version);

-- +goose Down
UPDATE versions v SET fold_version = 3
WHERE group_name = 'mailbox' AND NOT EXISTS (SELECT FROM positions p WHERE p.group_name = v.group_name AND p.version = v.version);
DROP VIEW live_mails;
DROP INDEX mails_receipts;
ALTER TABLE mails DROP COLUMN receipt_merchant, DROP COLUMN receipt_key, DROP COLUMN receipt_amount, DROP COLUMN receipt_currency, DROP COLUMN html,
    ADD COLUMN amounts jsonb NOT NULL DEFAULT '[]';
CREATE VIEW live_mails AS
SELECT * FROM mails WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');
