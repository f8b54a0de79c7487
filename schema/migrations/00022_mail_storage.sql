-- +goose Up
-- Texts are packed by lz4, which takes a fifth of the time of PostgreSQL's own method, where PostgreSQL was built with it.
-- What is stored stays as it is. A new version has the compression of mails.
-- +goose StatementBegin
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN SELECT 'mails'::regclass UNION ALL SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'mails'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN text SET COMPRESSION lz4, ALTER COLUMN search_words SET COMPRESSION lz4', relation);
    END LOOP;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'this PostgreSQL has no lz4: texts are packed as before';
END
$$;
-- +goose StatementEnd

-- A version into which nothing was folded yet is folded by the rule that knows the category discussion.
UPDATE versions v SET fold_version = 3
WHERE group_name = 'mailbox' AND NOT EXISTS (SELECT FROM positions p WHERE p.group_name = v.group_name AND p.version = v.version);

-- +goose Down
UPDATE versions v SET fold_version = 2
WHERE group_name = 'mailbox' AND NOT EXISTS (SELECT FROM positions p WHERE p.group_name = v.group_name AND p.version = v.version);
-- +goose StatementBegin
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN SELECT 'mails'::regclass UNION ALL SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'mails'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN text SET COMPRESSION default, ALTER COLUMN search_words SET COMPRESSION default', relation);
    END LOOP;
END
$$;
-- +goose StatementEnd
