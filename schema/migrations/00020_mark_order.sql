-- +goose Up
-- Who marks first takes one lock that all share and that the planning of an index takes alone, then locks addresses or
-- versions, then mails, each in the order of the keys. So none of them meets another in a deadlock.

-- lock_marks is what whoever changes or clears marks calls first. To insert into dirty_mails takes the same lock. Whether there is
-- an index is looked at by a statement of its own, which sees what was committed while the lock was waited for.
CREATE FUNCTION lock_marks() RETURNS void LANGUAGE sql AS $$
LOCK TABLE dirty_mails IN ROW EXCLUSIVE MODE
$$;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION mark_addresses(addresses text[], companies text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_marks();
    INSERT INTO dirty_addresses AS d (address, company)
    SELECT x.address, x.company FROM unnest(addresses, companies) AS x(address, company) WHERE index_wanted()
    GROUP BY x.address, x.company ORDER BY x.address COLLATE "C", x.company COLLATE "C"
    ON CONFLICT (address, company) DO UPDATE SET generation = d.generation + 1;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION mark_versions(versions integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_marks();
    INSERT INTO dirty_versions AS d (version)
    SELECT DISTINCT x.version FROM unnest(versions) AS x(version) WHERE index_wanted() ORDER BY x.version
    ON CONFLICT (version) DO UPDATE SET after = excluded.after;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION mark_dropped() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    pending uuid;
BEGIN
    PERFORM lock_marks();
    DELETE FROM dirty_versions d WHERE d.version = NEW.version RETURNING after INTO pending;
    IF FOUND THEN
        PERFORM mark_mails(ARRAY(SELECT id FROM mails WHERE version = NEW.version AND id > pending));
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- All addresses that a statement adds are marked at once, in order, and so is the mail of all persons who lose one.
DROP TRIGGER own_addresses_mark ON own_addresses;
DROP FUNCTION mark_own_addresses();
-- +goose StatementBegin
CREATE FUNCTION mark_own_addresses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        PERFORM mark_addresses(array_agg(address), array_agg('*'::text)) FROM changed;
    ELSE
        PERFORM mark_mails(ARRAY(SELECT id FROM live_mails WHERE user_id = ANY (ARRAY(SELECT DISTINCT user_id FROM changed))));
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER own_addresses_added AFTER INSERT ON own_addresses
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_own_addresses();
CREATE TRIGGER own_addresses_gone AFTER DELETE ON own_addresses
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_own_addresses();

-- What is added is marked before what is gone: marks of addresses come before marks of mails.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION keep_own_addresses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO own_addresses (user_id, address)
    SELECT DISTINCT NEW.id, address_key(a) FROM unnest(NEW.addresses) AS a
    ON CONFLICT DO NOTHING;
    DELETE FROM own_addresses o
    WHERE o.user_id = NEW.id AND NOT EXISTS (SELECT FROM unnest(NEW.addresses) AS a WHERE address_key(a) = o.address);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION keep_own_addresses() RETURNS trigger LANGUAGE plpgsql AS $$
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
DROP TRIGGER own_addresses_gone ON own_addresses;
DROP TRIGGER own_addresses_added ON own_addresses;
DROP FUNCTION mark_own_addresses();
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION mark_dropped() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE OR REPLACE FUNCTION mark_versions(versions integer[]) RETURNS void LANGUAGE sql AS $$
INSERT INTO dirty_versions AS d (version) SELECT DISTINCT version FROM unnest(versions) AS version WHERE index_wanted() ORDER BY version
ON CONFLICT (version) DO UPDATE SET after = excluded.after
$$;
CREATE OR REPLACE FUNCTION mark_addresses(addresses text[], companies text[]) RETURNS void LANGUAGE sql AS $$
INSERT INTO dirty_addresses AS d (address, company)
SELECT address, company FROM unnest(addresses, companies) AS x(address, company) WHERE index_wanted()
GROUP BY address, company ORDER BY address COLLATE "C", company COLLATE "C"
ON CONFLICT (address, company) DO UPDATE SET generation = d.generation + 1
$$;
DROP FUNCTION lock_marks();
