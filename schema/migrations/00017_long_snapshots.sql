-- +goose Up
-- While somebody holds a snapshot for long, as pg_dump does, no version of a row can be removed that was replaced since, nor
-- the entry of an index that led to it. What is looked for again and again must not lead past all of them.

-- Where the relay's search for waiting rows begins: at and below sequenced_to every row of the outbox has a relay sequence, at
-- and below published_to every row is published, and no transaction can add another one there.
ALTER TABLE relays
    ADD COLUMN sequenced_to bigint NOT NULL DEFAULT 0,
    ADD COLUMN published_to bigint NOT NULL DEFAULT 0;

-- A position is looked for by the offset where it is expected, which no older version of its row has. So next_offset is
-- part of the key, and that a partition has one position only is left to the keys that never change, which a trigger adds.
-- Whoever looks for all positions looks for the greatest offset of each key: older versions are below.
CREATE TABLE position_keys (
    group_name text    NOT NULL,
    version    integer NOT NULL,
    cluster_id text    NOT NULL,
    topic_id   uuid    NOT NULL,
    partition  integer NOT NULL,
    PRIMARY KEY (group_name, version, cluster_id, topic_id, partition)
);
INSERT INTO position_keys SELECT group_name, version, cluster_id, topic_id, partition FROM positions;
ALTER TABLE positions DROP CONSTRAINT positions_pkey;
ALTER TABLE positions ADD PRIMARY KEY (group_name, version, cluster_id, topic_id, partition, next_offset);

-- +goose StatementBegin
CREATE FUNCTION keep_position_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM position_keys k
        WHERE k.group_name = OLD.group_name AND k.version = OLD.version AND k.cluster_id = OLD.cluster_id
          AND k.topic_id = OLD.topic_id AND k.partition = OLD.partition;
        RETURN NULL;
    END IF;
    INSERT INTO position_keys VALUES (NEW.group_name, NEW.version, NEW.cluster_id, NEW.topic_id, NEW.partition)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL; -- the partition has a position: there is nothing to insert
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER positions_first BEFORE INSERT ON positions FOR EACH ROW EXECUTE FUNCTION keep_position_keys();
CREATE TRIGGER positions_gone AFTER DELETE ON positions FOR EACH ROW EXECUTE FUNCTION keep_position_keys();

-- The last number of a relay term is the greatest, and so is the end of what the relay has published: older versions of their
-- rows are below.
ALTER TABLE relay_sequences DROP CONSTRAINT relay_sequences_pkey;
ALTER TABLE relay_sequences ADD PRIMARY KEY (group_name, version, topic, partition, relay_id, last_seq);
ALTER TABLE relay_partitions DROP CONSTRAINT relay_partitions_pkey;
ALTER TABLE relay_partitions ADD PRIMARY KEY (cluster_id, topic_id, partition, next_offset);

-- What is updated all the time is vacuumed often: by the number of dead rows, not by their share, and without pauses.
ALTER TABLE positions SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE relay_sequences SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE relay_partitions SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
ALTER TABLE dirty_mails SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE dirty_addresses SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- +goose Down
ALTER TABLE dirty_addresses RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE dirty_mails RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE outbox RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE relay_partitions RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay);
ALTER TABLE relay_sequences RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay);
ALTER TABLE positions RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay);
ALTER TABLE relay_partitions DROP CONSTRAINT relay_partitions_pkey;
ALTER TABLE relay_partitions ADD PRIMARY KEY (cluster_id, topic_id, partition);
ALTER TABLE relay_sequences DROP CONSTRAINT relay_sequences_pkey;
ALTER TABLE relay_sequences ADD PRIMARY KEY (group_name, version, topic, partition, relay_id);
DROP TRIGGER positions_gone ON positions;
DROP TRIGGER positions_first ON positions;
DROP FUNCTION keep_position_keys();
ALTER TABLE positions DROP CONSTRAINT positions_pkey;
ALTER TABLE positions ADD PRIMARY KEY (group_name, version, cluster_id, topic_id, partition);
DROP TABLE position_keys;
ALTER TABLE relays DROP COLUMN published_to, DROP COLUMN sequenced_to;
