-- +goose Up
-- What search looks at, written by the mailbox fold: the keys of internal/search/keys, one for each word and each value of
-- a mail, in the order of the text, with single spaces between them. Mails that were folded before have none and are not
-- found until the mailbox is rebuilt.
ALTER TABLE mails ADD COLUMN search_words text NOT NULL DEFAULT '';

-- The keys as a set, which PostgreSQL looks up in an inverted index but computes only while it writes one: what it costs
-- keeps the planner from computing it for each mail of a search.
CREATE FUNCTION search_keys(search_words text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 10000000
AS 'BEGIN RETURN array_to_tsvector(string_to_array(search_words, '' '')); END';

-- New mails wait in a list until there are many, since sorting them in one by one is far slower. Every search reads that
-- list, so it is short.
CREATE INDEX mails_search ON mails USING gin (search_keys(search_words)) WITH (fastupdate = on, gin_pending_list_limit = 1024);

-- Long texts lie apart, so that a search which looks at many mails reads few pages.
ALTER TABLE mails_1 SET (toast_tuple_target = 512);

CREATE OR REPLACE VIEW live_mails AS
SELECT * FROM mails WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');

-- +goose Down
DROP VIEW live_mails;
DROP INDEX mails_search;
DROP FUNCTION search_keys;
ALTER TABLE mails_1 RESET (toast_tuple_target);
ALTER TABLE mails DROP COLUMN search_words;
CREATE VIEW live_mails AS
SELECT * FROM mails WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox');
