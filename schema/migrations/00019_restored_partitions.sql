-- +goose Up
-- Which partitions of the log the relay has read to their ends since the database was restored from a backup: who has
-- events in them may decide again, while another partition cannot be read. Rows go when the whole log was read.
CREATE TABLE restored_partitions (
    topic             text    NOT NULL, -- without prefix
    partition         integer NOT NULL,
    partitions        integer NOT NULL, -- how many the topic had
    system_identifier bigint  NOT NULL, -- of the server on which it was read
    timeline_id       integer NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- +goose Down
DROP TABLE restored_partitions;
