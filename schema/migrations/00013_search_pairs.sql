-- +goose Up
-- Phrases of frequent words: most mails hold the words somewhere, hardly any next to each other. The index tells these apart
-- by pairs of adjacent keys, so that a search reads the text of few mails. No column and no fold changes: the keys of a
-- pair are computed from search_words, like the other keys of the index.
SET LOCAL statement_timeout = 0;
SET LOCAL maintenance_work_mem = '256MB';

-- The number in the key of a pair: two keys that follow each other in search_words have one of 16,384. Different pairs may
-- share it, so a search still compares the text. Few numbers keep the index small: their lists of mails compress well.
CREATE FUNCTION search_pair(first text, second text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT to_hex(hashtextextended(second, hashtextextended(first, 0)) & 16383) $$;

-- The keys of a mail and, behind the user's mark and "+", of its pairs as a set. A very long text has most numbers: it gets
-- the mark and "+" alone, which stands for all of them and keeps the set within the 1 MiB that PostgreSQL allows. The function
-- repeats what search_pair does: a backup is restored with an empty search_path, in which it would not be found.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION search_keys(search_words text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 10000000
AS $$
DECLARE
    keys   text[] := string_to_array(search_words, ' ');
    marked text   := left(search_words, 4) || '+';
BEGIN
    IF octet_length(search_words) > 200000 THEN
        RETURN array_to_tsvector(keys || marked);
    END IF;
    RETURN array_to_tsvector(keys || ARRAY(
        SELECT marked || to_hex(hashtextextended(second, hashtextextended(first, 0)) & 16383) FROM unnest(keys, keys[2:]) AS pair(first, second) WHERE second IS NOT NULL));
END
$$;
-- +goose StatementEnd

-- The index is built beside the old one: meanwhile searches go on, and folds of mail wait.
CREATE INDEX mails_search_pairs ON mails USING gin (search_keys(search_words)) WITH (fastupdate = on, gin_pending_list_limit = 1024);
DROP INDEX mails_search;
ALTER INDEX mails_search_pairs RENAME TO mails_search;

-- +goose Down
CREATE OR REPLACE FUNCTION search_keys(search_words text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 10000000
AS 'BEGIN RETURN array_to_tsvector(string_to_array(search_words, '' '')); END';
DROP INDEX mails_search;
CREATE INDEX mails_search ON mails USING gin (search_keys(search_words)) WITH (fastupdate = on, gin_pending_list_limit = 1024);
DROP FUNCTION search_pair;
