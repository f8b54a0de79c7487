-- +goose Up
-- The mailbox remembers the erasures of other producers, as the groups that count remember all their effects: sent once
-- more after a person's new mail, one would take that mail too.
CREATE TABLE repeats_mailbox PARTITION OF repeats FOR VALUES IN ('mailbox') PARTITION BY LIST (version);

-- +goose StatementBegin
DO $$
DECLARE
    v integer;
BEGIN
    FOR v IN SELECT version FROM versions WHERE group_name = 'mailbox' LOOP
        EXECUTE format('CREATE TABLE repeats_mailbox_%s PARTITION OF repeats_mailbox FOR VALUES IN (%s)', v, v);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE repeats_mailbox;
