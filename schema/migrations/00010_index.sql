-- +goose Up
-- The Elasticsearch indices that the indexer keeps like the database. While there is none, nobody marks anything, and a
-- deployment that searches in PostgreSQL pays nothing (docs/decisions/0007-marks-only-for-an-index.md).
CREATE TABLE search_indices (
    name              text        PRIMARY KEY, -- in Elasticsearch
    mapping_version   integer     NOT NULL,    -- of schema/elasticsearch
    state             text        NOT NULL CONSTRAINT search_indices_state CHECK (state IN ('planned', 'building', 'live', 'frozen', 'retired')),
    -- The server that numbered its documents. Another one, as after a restore from a backup, may give numbers again.
    system_identifier bigint      NOT NULL,
    timeline_id       integer     NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    live_at           timestamptz
);
-- planned: to be made in Elasticsearch. building: takes all documents, until it has all. live: behind the alias. frozen:
-- still behind the alias, but takes no more documents. retired: to be deleted in Elasticsearch.
CREATE UNIQUE INDEX search_indices_next ON search_indices ((true)) WHERE state IN ('planned', 'building');
CREATE UNIQUE INDEX search_indices_served ON search_indices ((true)) WHERE state IN ('live', 'frozen');

-- The number of a document's version. It is drawn before the document is read, while the mark is locked: a higher number
-- was read later.
CREATE SEQUENCE index_rev;

-- Until when the risks that grow by themselves were looked at.
CREATE TABLE index_ageing (
    singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    aged_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO index_ageing DEFAULT VALUES;
CREATE INDEX applications_ageing ON applications (last_stage_change) WHERE interview_date IS NULL AND NOT removed;

-- marked_at tells since when there is something that the index lacks. A mark made only to read everything again waits
-- for those of what has changed. One whose document Elasticsearch refused waits by itself.
ALTER TABLE dirty_mails
    ADD COLUMN marked_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN backfill   boolean     NOT NULL DEFAULT false,
    ADD COLUMN refusals   integer     NOT NULL DEFAULT 0,
    ADD COLUMN not_before timestamptz NOT NULL DEFAULT '-infinity';
CREATE INDEX dirty_mails_queue ON dirty_mails (backfill, marked_at);
ALTER TABLE dirty_addresses ADD COLUMN marked_at timestamptz NOT NULL DEFAULT now();

-- Every mail of a version of the mailbox beyond an id is to be looked at again: what a swap marks, in one row.
CREATE TABLE dirty_versions (
    version   integer     PRIMARY KEY,
    after     uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    marked_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION index_wanted() RETURNS boolean LANGUAGE sql STABLE
AS $$ SELECT EXISTS (SELECT FROM search_indices WHERE state IN ('planned', 'building', 'live')) $$;

-- How everybody marks: in the order of the keys, and only for an index. The INSERT locks its table before it looks for
-- an index; so whoever locks the table to add the first one leaves nobody behind who has not seen it.
CREATE FUNCTION mark_mails(ids uuid[]) RETURNS void LANGUAGE sql AS $$
INSERT INTO dirty_mails AS d (mail_id) SELECT DISTINCT id FROM unnest(ids) AS id WHERE index_wanted() ORDER BY id
ON CONFLICT (mail_id) DO UPDATE SET generation = d.generation + 1, backfill = false, not_before = '-infinity'
$$;

CREATE FUNCTION mark_addresses(addresses text[], companies text[]) RETURNS void LANGUAGE sql AS $$
INSERT INTO dirty_addresses AS d (address, company)
SELECT address, company FROM unnest(addresses, companies) AS x(address, company) WHERE index_wanted()
GROUP BY address, company ORDER BY address COLLATE "C", company COLLATE "C"
ON CONFLICT (address, company) DO UPDATE SET generation = d.generation + 1
$$;

CREATE FUNCTION mark_versions(versions integer[]) RETURNS void LANGUAGE sql AS $$
INSERT INTO dirty_versions AS d (version) SELECT DISTINCT version FROM unnest(versions) AS version WHERE index_wanted() ORDER BY version
ON CONFLICT (version) DO UPDATE SET after = excluded.after
$$;

-- An address that becomes a person's own touches what '*' says; of one that is no longer theirs nothing but the
-- mailbox tells.
-- +goose StatementBegin
CREATE FUNCTION mark_own_addresses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM mark_addresses(ARRAY[NEW.address], ARRAY['*']);
    ELSE
        PERFORM mark_mails(ARRAY(SELECT id FROM live_mails WHERE user_id = OLD.user_id));
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER own_addresses_mark AFTER INSERT OR DELETE ON own_addresses
FOR EACH ROW EXECUTE FUNCTION mark_own_addresses();

-- Whatever moves the pointer to a live version marks: what the mailbox was and is, or all mail when other applications
-- may belong to it.
-- +goose StatementBegin
CREATE FUNCTION mark_swapped() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.group_name = 'mailbox' THEN
        PERFORM mark_versions(ARRAY[OLD.live_version, NEW.live_version]);
    ELSIF NEW.group_name = 'enrichment' THEN
        PERFORM mark_versions(ARRAY(SELECT live_version FROM projections WHERE group_name = 'mailbox'));
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER projections_mark AFTER UPDATE OF live_version ON projections
FOR EACH ROW WHEN (OLD.live_version <> NEW.live_version) EXECUTE FUNCTION mark_swapped();

-- A version that is retired without having been live is dropped next: what it still marks is marked one by one.
-- +goose StatementBegin
CREATE FUNCTION mark_dropped() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    pending uuid;
BEGIN
    DELETE FROM dirty_versions d WHERE d.version = NEW.version RETURNING after INTO pending;
    IF FOUND THEN
        PERFORM mark_mails(ARRAY(SELECT id FROM mails WHERE version = NEW.version AND id > pending));
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER versions_mark AFTER UPDATE OF state ON versions
FOR EACH ROW WHEN (NEW.group_name = 'mailbox' AND NEW.state = 'retired' AND OLD.state <> 'live') EXECUTE FUNCTION mark_dropped();

-- The keys of mail are looked up thousands of times in a row: without a list of new ones that every look-up would read.
DROP INDEX mails_match;
CREATE INDEX mails_match ON mails USING gin (match_keys(user_id, parties || companies)) WITH (fastupdate = off);

-- As before, but for "version + 0": before a new version has statistics, walking all of its primary key looks cheaper
-- than the index above.
CREATE OR REPLACE VIEW touched_mails AS
SELECT t.user_id, m.id AS mail_id
FROM (
    SELECT o.user_id, k.company AS key
    FROM mail_addresses o JOIN application_keys k ON k.address = address_key(o.address) AND k.company <> ''
    WHERE o.version = (SELECT live_version FROM projections WHERE group_name = 'mailbox')
      AND k.version = (SELECT live_version FROM projections WHERE group_name = 'enrichment')
    UNION
    SELECT o.user_id, k.company
    FROM own_addresses o JOIN application_keys k ON k.address = o.address AND k.company <> ''
    WHERE k.version = (SELECT live_version FROM projections WHERE group_name = 'enrichment')
    UNION
    SELECT c.user_id, k.address
    FROM mail_correspondents c JOIN application_keys k ON k.address = c.address AND k.company = ''
    WHERE c.version = (SELECT live_version FROM projections WHERE group_name = 'mailbox')
      AND k.version = (SELECT live_version FROM projections WHERE group_name = 'enrichment')
      AND NOT EXISTS (SELECT FROM own_addresses o WHERE o.user_id = c.user_id AND o.address = c.address)
      AND NOT EXISTS (SELECT FROM mail_addresses o
                      WHERE o.user_id = c.user_id AND address_key(o.address) = c.address AND o.version = c.version)
) t
CROSS JOIN LATERAL (
    SELECT id FROM mails
    WHERE version + 0 = (SELECT live_version FROM projections WHERE group_name = 'mailbox')
      AND match_keys(user_id, parties || companies) @> match_keys(t.user_id, ARRAY[t.key]) OFFSET 0
) m;

-- As before, but mails and keys are looked up one by one: before the tables have statistics, reading a whole version, or
-- all keys of an address, looks cheaper. Ids are given once each.
CREATE OR REPLACE FUNCTION ats_of(mail_ids uuid[]) RETURNS TABLE (mail_id uuid, user_id text, system text, application_id text, stage text,
    company text, last_stage_change timestamptz, interview_date timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT m.id, m.user_id, best.system, best.application_id, best.stage, best.company, best.last_stage_change, best.interview_date
FROM unnest(mail_ids) AS wanted(id)
CROSS JOIN LATERAL (SELECT id, version, user_id, parties, companies FROM mails
                    WHERE id = wanted.id AND version = (SELECT live_version FROM projections WHERE group_name = 'mailbox') OFFSET 0) m
CROSS JOIN LATERAL (
    SELECT a.*
    FROM (
        SELECT k.*, 1 AS side, c.place
        FROM mail_addresses o
        CROSS JOIN unnest(m.companies) WITH ORDINALITY AS c(company, place)
        CROSS JOIN LATERAL (SELECT version, system, application_id, whole FROM application_keys
                            WHERE address = address_key(o.address) AND company = c.company OFFSET 0) k
        WHERE o.user_id = m.user_id AND o.version = m.version
        UNION ALL
        SELECT k.*, 1, c.place
        FROM own_addresses o
        CROSS JOIN unnest(m.companies) WITH ORDINALITY AS c(company, place)
        CROSS JOIN LATERAL (SELECT version, system, application_id, whole FROM application_keys
                            WHERE address = o.address AND company = c.company OFFSET 0) k
        WHERE o.user_id = m.user_id
        UNION ALL
        SELECT k.*, 2, LEAST(p.place, 2)
        FROM unnest(m.parties) WITH ORDINALITY AS p(address, place)
        CROSS JOIN LATERAL (SELECT version, system, application_id, whole FROM application_keys
                            WHERE address = p.address AND company = '' OFFSET 0) k
        WHERE NOT EXISTS (SELECT FROM own_addresses o WHERE o.user_id = m.user_id AND o.address = p.address)
          AND NOT EXISTS (SELECT FROM mail_addresses o
                          WHERE o.user_id = m.user_id AND address_key(o.address) = p.address AND o.version = m.version)
    ) x
    CROSS JOIN LATERAL (SELECT * FROM applications a
                        WHERE a.version = x.version AND a.system = x.system AND a.application_id = x.application_id OFFSET 0) a
    WHERE x.version = (SELECT live_version FROM projections WHERE group_name = 'enrichment')
    ORDER BY x.side, x.place, x.whole DESC, a.last_stage_change DESC NULLS LAST, a.system COLLATE "C", a.application_id COLLATE "C"
    LIMIT 1
) best
$$;

-- +goose Down
DROP INDEX mails_match;
CREATE INDEX mails_match ON mails USING gin (match_keys(user_id, parties || companies));
DROP TRIGGER versions_mark ON versions;
DROP TRIGGER projections_mark ON projections;
DROP FUNCTION mark_dropped(), mark_swapped();
DROP TRIGGER own_addresses_mark ON own_addresses;
DROP FUNCTION mark_own_addresses(), mark_versions(integer[]), mark_addresses(text[], text[]), mark_mails(uuid[]), index_wanted();
DROP TABLE dirty_versions;
ALTER TABLE dirty_addresses DROP COLUMN marked_at;
DROP INDEX dirty_mails_queue;
ALTER TABLE dirty_mails DROP COLUMN marked_at, DROP COLUMN backfill, DROP COLUMN refusals, DROP COLUMN not_before;
DROP INDEX applications_ageing;
DROP TABLE index_ageing;
DROP SEQUENCE index_rev;
DROP TABLE search_indices;
