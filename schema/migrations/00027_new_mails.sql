-- +goose Up
-- Mail that was folded a short time ago, and whether it was put before its person's policies: each mail is, once. Its row
-- outlives versions of the mailbox, so that a rebuild, a rollback or a log that is read again makes no mail new. Only mail of
-- the last 30 days is ever new, and a row that is older than that has served its time.
CREATE TABLE new_mails (
    user_id       text        NOT NULL, -- who need not be in users yet
    mail_id       uuid        NOT NULL,
    received_at   timestamptz NOT NULL,
    folded_at     timestamptz NOT NULL DEFAULT now(),
    late          boolean     NOT NULL, -- it was older than a day when it was folded, as most of an import is
    proposed      boolean     NOT NULL DEFAULT false, -- by the proposer
    considered_at timestamptz,          -- when it was put before the policies; null: it waits
    PRIMARY KEY (user_id, mail_id)
);
-- What waits, by person, the newest first.
CREATE INDEX new_mails_waiting ON new_mails (user_id, late, received_at DESC, mail_id) WHERE considered_at IS NULL;
-- How much was proposed to a person in the last day.
CREATE INDEX new_mails_proposed ON new_mails (user_id, considered_at) WHERE proposed;
-- What has served its time.
CREATE INDEX new_mails_age ON new_mails (greatest(folded_at, received_at));

-- Versions of the mailbox that became live, beyond an id: mail that was folded in one of them while another was live may be
-- new, too.
CREATE TABLE new_mail_versions (
    version integer PRIMARY KEY,
    after   uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);

-- Mail that was folded before this migration is not new.
SET LOCAL statement_timeout = 0;
INSERT INTO new_mails (user_id, mail_id, received_at, late, considered_at)
SELECT user_id, id, received_at, true, now() FROM live_mails WHERE received_at > now() - interval '30 days';

-- How a fold tells of mail: in the order of the ids, each of which it knows or does not. Rows that have served their time go, more
-- than come, so that there are not more and more of them even where no proposer runs. Nobody waits for a row.
-- +goose StatementBegin
CREATE FUNCTION add_new_mails(users text[], ids uuid[], received timestamptz[]) RETURNS void LANGUAGE sql AS $$
DELETE FROM new_mails WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM new_mails
    WHERE greatest(folded_at, received_at) < now() - interval '31 days'
    ORDER BY greatest(folded_at, received_at) LIMIT 2 * cardinality(ids) FOR UPDATE SKIP LOCKED));
INSERT INTO new_mails (user_id, mail_id, received_at, late)
SELECT x.user_id, x.id, x.received_at, x.received_at <= now() - interval '1 day'
FROM unnest(users, ids, received) AS x(user_id, id, received_at)
WHERE x.received_at > now() - interval '30 days'
ON CONFLICT DO NOTHING
$$;
-- +goose StatementEnd

-- How a fold forgets the mail of persons who were erased.
CREATE FUNCTION erase_new_mails(users text[]) RETURNS void LANGUAGE sql AS $$
DELETE FROM new_mails WHERE user_id = ANY (users)
$$;

-- +goose StatementBegin
CREATE FUNCTION look_for_new_mails() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO new_mail_versions (version) VALUES (NEW.live_version)
    ON CONFLICT (version) DO UPDATE SET after = excluded.after;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER projections_new_mails AFTER UPDATE OF live_version ON projections
FOR EACH ROW WHEN (NEW.group_name = 'mailbox' AND OLD.live_version <> NEW.live_version) EXECUTE FUNCTION look_for_new_mails();

-- +goose Down
DROP TRIGGER projections_new_mails ON projections;
DROP FUNCTION look_for_new_mails(), erase_new_mails(text[]), add_new_mails(text[], uuid[], timestamptz[]);
DROP TABLE new_mail_versions, new_mails;
