package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// selectRestored compares the identity of the server with the stored one, and stores it if there is none yet. It takes the
// timeline from the write-ahead log, since the control file has a new one only after the next checkpoint.
const selectRestored = `
WITH present AS (` + selectIdentity + `),
stored AS (
    UPDATE deployment d
    SET system_identifier = p.system_identifier, timeline_id = p.timeline_id
    FROM present p
    WHERE d.system_identifier IS NULL)
SELECT d.system_identifier IS NOT NULL
       AND (d.system_identifier, d.timeline_id) IS DISTINCT FROM (p.system_identifier, p.timeline_id)
FROM deployment d, present p`

// selectBehind compares the same and stores nothing: a database whose relay has never read the log lacks nothing of it. If the
// database was restored, it also lists the partitions of a topic that are accepted on the present server, and of how many.
const selectBehind = `
SELECT c.restored,
       ARRAY(SELECT r.partition FROM restored_partitions r
             WHERE c.restored AND r.topic = $1 AND (r.system_identifier, r.timeline_id) = (c.system_identifier, c.timeline_id) ORDER BY r.partition),
       ARRAY(SELECT r.partitions FROM restored_partitions r
             WHERE c.restored AND r.topic = $1 AND (r.system_identifier, r.timeline_id) = (c.system_identifier, c.timeline_id) ORDER BY r.partition)
FROM (SELECT p.*, d.system_identifier IS NOT NULL
                  AND (d.system_identifier, d.timeline_id) IS DISTINCT FROM (p.system_identifier, p.timeline_id) AS restored
      FROM deployment d, (` + selectIdentity + `) p) c`

// acceptIdentity stores the identity of the present server.
const acceptIdentity = `
UPDATE deployment d
SET system_identifier = p.system_identifier, timeline_id = p.timeline_id
FROM (` + selectIdentity + `) p
WHERE (d.system_identifier, d.timeline_id) IS DISTINCT FROM (p.system_identifier, p.timeline_id)`

// acceptPartition notes that what a partition of the log has is in the database again; only in one that counts as restored.
const acceptPartition = `
INSERT INTO restored_partitions (topic, partition, partitions, system_identifier, timeline_id)
SELECT $1, $2, $3, p.system_identifier, p.timeline_id
FROM deployment d, (` + selectIdentity + `) p
WHERE (d.system_identifier, d.timeline_id) IS DISTINCT FROM (p.system_identifier, p.timeline_id)
ON CONFLICT (topic, partition) DO UPDATE
SET partitions = excluded.partitions, system_identifier = excluded.system_identifier, timeline_id = excluded.timeline_id`

// deleteRestoredPartitions forgets what the next restore must not find.
const deleteRestoredPartitions = `DELETE FROM restored_partitions`

const selectIdentity = `
SELECT system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer AS timeline_id
FROM pg_control_system()`

// ErrRestored tells that nobody may decide or fold yet: the database may lack what the log has.
var ErrRestored = errors.New("the database was restored from a backup and the relay has not caught up with the log")

// Restored tells whether the database is on another server or timeline than the stored one: it was restored from a backup,
// or a standby was promoted, and it may lack events that the log has. No decision should be taken until a relay has read
// the log to its end and accepted the new identity. The first call ever accepts the present server.
func Restored(ctx context.Context, db Querier) (bool, error) {
	var restored bool
	if err := db.QueryRow(ctx, selectRestored).Scan(&restored); err != nil {
		return false, fmt.Errorf("compare database identity: %w", err)
	}
	return restored, nil
}

// RefuseRestored queues what makes a transaction fail with ErrRestored while Restored would be true and the relay has not read
// the partition that holds the person's events; of any partition, if person is empty. It is in the transaction that it is about,
// since a fail-over may come between two. Nobody waits for a partition of others that Kafka cannot serve.
func RefuseRestored(b *pgx.Batch, person string) {
	b.Queue(selectBehind, events.TopicActions).QueryRow(func(row pgx.Row) error {
		var restored bool
		var read, of []int
		if err := row.Scan(&restored, &read, &of); err != nil {
			return fmt.Errorf("compare database identity: %w", err)
		}
		if !restored {
			return nil
		}
		for i := range read {
			if person != "" && events.Partition([]byte(person), of[i]) == read[i] {
				return nil
			}
		}
		return ErrRestored
	})
}

// Server identifies a database server and its timeline.
type Server struct {
	System   int64
	Timeline int32
}

// Identity returns the server that holds the database now.
func Identity(ctx context.Context, db Querier) (Server, error) {
	var here Server
	if err := db.QueryRow(ctx, selectIdentity).Scan(&here.System, &here.Timeline); err != nil {
		return Server{}, fmt.Errorf("read database identity: %w", err)
	}
	return here, nil
}

// AcceptIdentity ends the state that Restored reports. Only the relay calls it, once the database has what the log has.
func AcceptIdentity(ctx context.Context, db Execer) error {
	for _, statement := range []string{acceptIdentity, deleteRestoredPartitions} {
		if _, err := db.Exec(ctx, statement); err != nil {
			return fmt.Errorf("store database identity: %w", err)
		}
	}
	return nil
}

// AcceptPartition ends what RefuseRestored refuses for the persons whose events are in a partition of that many. Only the relay
// calls it, once the database has what the partition has.
func AcceptPartition(ctx context.Context, db Execer, topic string, partition, partitions int) error {
	if _, err := db.Exec(ctx, acceptPartition, topic, partition, partitions); err != nil {
		return fmt.Errorf("accept %s/%d: %w", topic, partition, err)
	}
	return nil
}
