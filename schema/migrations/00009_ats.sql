-- +goose Up
-- Which job application a mail belongs to is a join when somebody reads, never a consumer's work: two consumers that
-- commit at once would miss each other. The join compares keys that the folds have made ready.

-- The form in which addresses are compared: without the +tag. Addresses are stored in lower case, their domain in ASCII.
CREATE FUNCTION address_key(address text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT regexp_replace(lower(address), '^([^+]+)\+.*@', '\1@') $$;

-- A mail's keys as one index holds them: hashes, since every key counts only within its person's mailbox. Whoever
-- looks one up compares the key itself too.
CREATE FUNCTION match_keys(user_id text, keys text[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT COALESCE(array_agg(hashtextextended(user_id || chr(31) || key, 0)), '{}') FROM unnest(keys) AS key $$;

-- Whole days of 24 hours since the last change of stage make it likelier that nobody will answer. Of an application
-- whose interview has a date, nothing is feared.
CREATE FUNCTION ghosting_risk(last_stage_change timestamptz, interview_date timestamptz, at timestamptz) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
SELECT CASE WHEN interview_date IS NOT NULL THEN 0.1
            WHEN last_stage_change IS NULL THEN 0.2
            WHEN days < 14 THEN 0.1
            ELSE LEAST(1, (50 + 3 * days) / 100) END::double precision
FROM (SELECT floor(extract(epoch FROM at - last_stage_change) / 86400) AS days) AS age
$$;

-- mailbox: the addresses of a mail, the sender's first, and the names of companies in whose name it may have been sent,
-- the most certain first (internal/ats).
ALTER TABLE mails
    ADD COLUMN parties   text[] NOT NULL DEFAULT '{}',
    ADD COLUMN companies text[] NOT NULL DEFAULT '{}';
CREATE INDEX mails_match ON mails USING gin (match_keys(user_id, parties || companies));

-- Everybody who ever wrote to a person or was written to: few beside the mails, so that applications of correspondents
-- are found without reading the mailbox.
CREATE TABLE mail_correspondents (
    version integer NOT NULL,
    user_id text    NOT NULL,
    address text    NOT NULL, -- key
    PRIMARY KEY (user_id, address, version)
) PARTITION BY LIST (version);
CREATE INDEX mail_correspondents_address ON mail_correspondents (address);
CREATE TABLE mail_correspondents_1 PARTITION OF mail_correspondents FOR VALUES IN (1);

CREATE INDEX mail_addresses_key ON mail_addresses (address_key(address));

-- The keys of users.addresses, which a trigger keeps, whoever writes that column.
CREATE TABLE own_addresses (
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    address text NOT NULL, -- key
    PRIMARY KEY (user_id, address)
);
CREATE INDEX own_addresses_address ON own_addresses (address);

-- +goose StatementBegin
CREATE FUNCTION keep_own_addresses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM own_addresses o
    WHERE o.user_id = NEW.id AND NOT EXISTS (SELECT FROM unnest(NEW.addresses) AS a WHERE address_key(a) = o.address);
    INSERT INTO own_addresses (user_id, address)
    SELECT DISTINCT NEW.id, address_key(a) FROM unnest(NEW.addresses) AS a
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER users_addresses AFTER INSERT OR UPDATE OF addresses ON users
FOR EACH ROW EXECUTE FUNCTION keep_own_addresses();
INSERT INTO own_addresses (user_id, address) SELECT DISTINCT id, address_key(a) FROM users, unnest(addresses) AS a;

-- enrichment: the keys by which an application meets mail, for each address one with an empty company and one for each
-- form of the company's name.
CREATE TABLE application_keys (
    version        integer NOT NULL,
    address        text    NOT NULL, -- key
    company        text    NOT NULL,
    system         text    NOT NULL,
    application_id text    NOT NULL,
    whole          boolean NOT NULL, -- the company's whole name, rather than its core
    PRIMARY KEY (address, company, system, application_id, version)
) PARTITION BY LIST (version);
CREATE INDEX application_keys_application ON application_keys (system, application_id);
CREATE TABLE application_keys_1 PARTITION OF application_keys FOR VALUES IN (1);
DROP INDEX applications_addresses; -- nothing finds applications by it any more

-- Marks name the company too: an application of the mailbox owner touches only the mail of its company.
ALTER TABLE dirty_addresses
    ADD COLUMN company text NOT NULL DEFAULT '', -- of application_keys; '*': the address became a person's own
    DROP CONSTRAINT dirty_addresses_pkey,
    ADD PRIMARY KEY (address, company);

-- The rule: the application of each of the given mails that has one. An application of the person's own, by an address
-- of theirs, fits mail that its company sent, and place tells how surely it was that company. An application of somebody
-- else fits the mail with that correspondent: place 1 is the sender, 2 a recipient. The best fit counts, of equal ones
-- that whose stage changed last. Whether the mail is older than the application makes no difference: what a recruiter
-- wrote first belongs to what came of it.
CREATE FUNCTION ats_of(mail_ids uuid[]) RETURNS TABLE (mail_id uuid, user_id text, system text, application_id text, stage text,
    company text, last_stage_change timestamptz, interview_date timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT m.id, m.user_id, best.system, best.application_id, best.stage, best.company, best.last_stage_change, best.interview_date
FROM mails m
CROSS JOIN LATERAL (
    SELECT a.*
    FROM (
        SELECT k.version, k.system, k.application_id, 1 AS side, array_position(m.companies, k.company) AS place, k.whole
        FROM mail_addresses o
        JOIN application_keys k ON k.address = address_key(o.address) AND k.company <> '' AND k.company = ANY (m.companies)
        WHERE o.user_id = m.user_id AND o.version = m.version
        UNION ALL
        SELECT k.version, k.system, k.application_id, 1, array_position(m.companies, k.company), k.whole
        FROM own_addresses o
        JOIN application_keys k ON k.address = o.address AND k.company <> '' AND k.company = ANY (m.companies)
        WHERE o.user_id = m.user_id
        UNION ALL
        SELECT k.version, k.system, k.application_id, 2, LEAST(p.place, 2), true
        FROM unnest(m.parties) WITH ORDINALITY AS p(address, place)
        JOIN application_keys k ON k.address = p.address AND k.company = ''
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
WHERE m.version = (SELECT live_version FROM projections WHERE group_name = 'mailbox') AND m.id = ANY (mail_ids)
$$;

-- The mails that an application touches: all that have one, and few others. It is read by person. The subquery with
-- OFFSET 0 finds mail by its keys, however wrong the statistics are.
CREATE VIEW touched_mails AS
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
    WHERE version = (SELECT live_version FROM projections WHERE group_name = 'mailbox')
      AND match_keys(user_id, parties || companies) @> match_keys(t.user_id, ARRAY[t.key]) OFFSET 0
) m;

-- The application of each mail that has one, to be read by person. For given mails ats_of is faster.
CREATE VIEW live_ats AS
SELECT a.mail_id, t.user_id, a.system, a.application_id, a.stage, a.company, a.last_stage_change, a.interview_date,
       ghosting_risk(a.last_stage_change, a.interview_date, now()) AS ghosting_risk
FROM (SELECT DISTINCT user_id, mail_id FROM touched_mails) t
CROSS JOIN LATERAL (SELECT * FROM ats_of(ARRAY[t.mail_id]) OFFSET 0) a;

-- +goose Down
DROP VIEW live_ats, touched_mails;
DROP FUNCTION ats_of(uuid[]);
DELETE FROM dirty_addresses;
ALTER TABLE dirty_addresses DROP CONSTRAINT dirty_addresses_pkey, DROP COLUMN company, ADD PRIMARY KEY (address);
CREATE INDEX applications_addresses ON applications USING gin (addresses);
DROP TABLE application_keys;
DROP TRIGGER users_addresses ON users;
DROP FUNCTION keep_own_addresses();
DROP TABLE own_addresses, mail_correspondents;
DROP INDEX mail_addresses_key, mails_match;
ALTER TABLE mails DROP COLUMN parties, DROP COLUMN companies;
DROP FUNCTION ghosting_risk(timestamptz, timestamptz, timestamptz), match_keys(text, text[]), address_key(text);
