-- +goose Up
-- The generation of a mark of a mail is a number that no other mark ever has. So an indexer that stood still while another cleared
-- the mark, and the mail was marked anew, does not take the new mark for the one whose mail it has sent.
CREATE SEQUENCE mark_generations;
SELECT setval('mark_generations', GREATEST(1, (SELECT max(generation) FROM dirty_mails)));
ALTER TABLE dirty_mails ALTER COLUMN generation SET DEFAULT nextval('mark_generations');
CREATE OR REPLACE FUNCTION mark_mails(ids uuid[]) RETURNS void LANGUAGE sql AS $$
INSERT INTO dirty_mails AS d (mail_id) SELECT DISTINCT id FROM unnest(ids) AS id WHERE index_wanted() ORDER BY id
ON CONFLICT (mail_id) DO UPDATE SET generation = excluded.generation, backfill = false, not_before = '-infinity'
$$;

-- +goose Down
CREATE OR REPLACE FUNCTION mark_mails(ids uuid[]) RETURNS void LANGUAGE sql AS $$
INSERT INTO dirty_mails AS d (mail_id) SELECT DISTINCT id FROM unnest(ids) AS id WHERE index_wanted() ORDER BY id
ON CONFLICT (mail_id) DO UPDATE SET generation = d.generation + 1, backfill = false, not_before = '-infinity'
$$;
ALTER TABLE dirty_mails ALTER COLUMN generation SET DEFAULT 1;
DROP SEQUENCE mark_generations;
