-- +goose Up
-- What was "repeats": the effects of other producers' events that were processed, each version's in a table of its own. The
-- columns group_name and version, the same in every row, took a third of it, and partitions must have them.
-- effect_key is a 128-bit hash of the user and the effect id, so that the table holds nothing of a person; content_hash
-- tells a repeat from a conflict. Consumers that still run must not add to "repeats" behind the copy.
SET LOCAL statement_timeout = 0;
LOCK TABLE repeats;
-- +goose StatementBegin
DO $$
DECLARE
    v record;
BEGIN
    FOR v IN SELECT group_name, version FROM versions WHERE group_name IN ('weights', 'policystats', 'mailbox') LOOP
        EXECUTE format('CREATE TABLE processed_effects_%s_%s (effect_key uuid PRIMARY KEY, content_hash bigint NOT NULL)', v.group_name, v.version);
        EXECUTE format('INSERT INTO processed_effects_%s_%s SELECT effect_key, content_hash FROM repeats WHERE group_name = %L AND version = %s ORDER BY effect_key',
                       v.group_name, v.version, v.group_name, v.version);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP TABLE repeats;

-- What a drop of a version that was interrupted had detached already.
-- +goose StatementBegin
DO $$
DECLARE
    orphan name;
BEGIN
    FOR orphan IN SELECT relname FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace AND relname ~ '^repeats_(weights|policystats|mailbox)_[0-9]+$' LOOP
        EXECUTE format('DROP TABLE %I', orphan);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- Values of dead letters are kept as they are: compressing one of a megabyte holds its whole batch up.
ALTER TABLE dead_letters ALTER COLUMN value SET STORAGE EXTERNAL;

-- +goose Down
SET LOCAL statement_timeout = 0;
ALTER TABLE dead_letters ALTER COLUMN value SET STORAGE EXTENDED;
CREATE TABLE repeats (
    group_name   text    NOT NULL,
    version      integer NOT NULL,
    effect_key   uuid    NOT NULL,
    content_hash bigint  NOT NULL,
    PRIMARY KEY (effect_key, version, group_name)
) PARTITION BY LIST (group_name);
-- +goose StatementBegin
DO $$
DECLARE
    g text;
    v record;
BEGIN
    FOREACH g IN ARRAY ARRAY['weights', 'policystats', 'mailbox'] LOOP
        EXECUTE format('CREATE TABLE repeats_%s PARTITION OF repeats FOR VALUES IN (%L) PARTITION BY LIST (version)', g, g);
    END LOOP;
    FOR v IN SELECT group_name, version FROM versions WHERE group_name IN ('weights', 'policystats', 'mailbox') LOOP
        EXECUTE format('CREATE TABLE repeats_%s_%s PARTITION OF repeats_%s FOR VALUES IN (%s)', v.group_name, v.version, v.group_name, v.version);
        EXECUTE format('INSERT INTO repeats SELECT %L, %s, effect_key, content_hash FROM processed_effects_%s_%s', v.group_name, v.version, v.group_name, v.version);
        EXECUTE format('DROP TABLE processed_effects_%s_%s', v.group_name, v.version);
    END LOOP;
END
$$;
-- +goose StatementEnd
