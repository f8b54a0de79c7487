package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/events"
)

// tryLock asks for leadership, which lasts as long as the connection.
const tryLock = `SELECT pg_try_advisory_lock($1)`

// lockKey is the number of the lock, one per database.
const lockKey = int64(0x6170706c796c656e)

// insertRelay begins a term. Its start is later than that of every term before it, whatever the clock says: the order
// of terms is part of the order in which stamped rows are published again.
const insertRelay = `
INSERT INTO relays (relay_id, started_at)
SELECT $1, greatest(clock_timestamp(), max(started_at) + interval '1 microsecond') FROM relays`

// endReconcile notes that the log was read to its end before the term's first publish.
const endReconcile = `UPDATE relays SET reconciled_at = clock_timestamp() WHERE relay_id = $1`

// selectUnstamped finds rows that no term has stamped, in the order of seq, wherever they stand: a row that committed
// late has a seq below others that were sent long ago.
const selectUnstamped = `
SELECT seq, aggregatetype, aggregateid, octet_length(payload) + octet_length(headers::text)
FROM outbox
WHERE published_at IS NULL AND relay_id IS NULL AND aggregatetype = ANY ($1)
ORDER BY seq
LIMIT $2`

// updateStamps gives rows their numbers and returns them as they are at that moment. A row that has a stamp already is
// refused by the constraint outbox_stamp, and not by a condition: by its statistics PostgreSQL takes unpublished rows for
// so rare that it would compare each of a large backlog with each of the numbers.
const updateStamps = `
UPDATE outbox o
SET relay_id = $1, partition = s.partition, relay_seq = CASE WHEN o.relay_id IS NULL THEN s.relay_seq END
FROM unnest($2::bigint[], $3::integer[], $4::bigint[]) AS s (seq, partition, relay_seq)
WHERE o.seq = s.seq
RETURNING ` + rowColumns

// selectStamped finds the next stamped rows of some partitions, in the order in which they were stamped, which is the
// order in which they must stand in the log.
const selectStamped = `
SELECT o.seq, octet_length(o.payload) + octet_length(o.headers::text)
FROM outbox o
JOIN unnest($1::text[], $2::integer[]) AS p (topic, number) ON o.aggregatetype = p.topic AND o.partition = p.number
JOIN relays r ON r.relay_id = o.relay_id
WHERE o.published_at IS NULL
ORDER BY r.started_at, o.relay_seq
LIMIT $3`

// selectRows reads rows by number.
const selectRows = `SELECT ` + rowColumns + ` FROM outbox o WHERE o.seq = ANY ($1)`

const rowColumns = `o.seq, o.id, o.aggregatetype, o.aggregateid, o.payload, o.headers, o.recorded_at,
    o.relay_id, o.partition, o.relay_seq, o.state <> 'open'`

// markPublished notes where Kafka put rows. It may be lost in a crash of PostgreSQL: the rows are then found in the log.
const markPublished = `
UPDATE outbox o
SET published_at = clock_timestamp(), log_offset = m.log_offset
FROM unnest($1::bigint[], $2::bigint[]) AS m (seq, log_offset)
WHERE o.seq = m.seq`

// markDead gives a row up. Its number goes out without content.
const markDead = `UPDATE outbox SET state = 'dead', error = $2 WHERE seq = $1 AND state = 'open'`

// buryStrangers gives up rows of topics that are none of ours; they have no partition and so no number.
const buryStrangers = `
UPDATE outbox
SET state = 'dead', error = 'no such topic', published_at = clock_timestamp()
WHERE published_at IS NULL AND relay_id IS NULL AND aggregatetype <> ALL ($1)`

// saveEnd stores the end of what is known to be ours in a partition.
const saveEnd = `
INSERT INTO relay_partitions (cluster_id, topic, topic_id, partition, next_offset)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (cluster_id, topic_id, partition)
DO UPDATE SET next_offset = excluded.next_offset, updated_at = now()`

// selectEnd reads what saveEnd stored.
const selectEnd = `
SELECT next_offset FROM relay_partitions WHERE cluster_id = $1 AND topic_id = $2 AND partition = $3`

// unpublish makes rows be published again: those that stood at or behind an offset that the log has lost.
const unpublish = `
UPDATE outbox
SET published_at = NULL, log_offset = NULL
WHERE aggregatetype = $1 AND partition = $2 AND published_at IS NOT NULL AND relay_id IS NOT NULL AND log_offset >= $3`

// lastPublished finds the last row of ours in a partition, and nextPublished the first at or behind an offset.
const (
	lastPublished = `
SELECT log_offset, relay_id, relay_seq
FROM outbox
WHERE aggregatetype = $1 AND partition = $2 AND published_at IS NOT NULL AND log_offset < $3
ORDER BY log_offset DESC
LIMIT 1`
	nextPublished = `
SELECT log_offset, relay_id, relay_seq
FROM outbox
WHERE aggregatetype = $1 AND partition = $2 AND published_at IS NOT NULL AND log_offset >= $3
ORDER BY log_offset
LIMIT 1`
)

// quick lets a transaction commit without waiting for the disk.
const quick = `SET LOCAL synchronous_commit TO off`

// beginTerm inserts the row of a new term and returns its id.
func beginTerm(ctx context.Context, conn *pgx.Conn) (events.UUID, error) {
	id := events.NewUUIDv7(time.Now())
	if _, err := conn.Exec(ctx, insertRelay, [16]byte(id)); err != nil {
		return events.UUID{}, fmt.Errorf("begin relay term: %w", err)
	}
	return id, nil
}

// candidate is a row that may be stamped or loaded.
type candidate struct {
	seq   int64
	topic string
	key   []byte
	size  int
}

func unstamped(ctx context.Context, db *pgx.Conn, topics []string) ([]candidate, error) {
	rows, err := db.Query(ctx, selectUnstamped, topics, stampRows)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (c candidate, err error) {
		return c, r.Scan(&c.seq, &c.topic, &c.key, &c.size)
	})
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return found, nil
}

func stampedOf(ctx context.Context, conn *pgx.Conn, partitions []*partition) ([]candidate, error) {
	topics, numbers := make([]string, len(partitions)), make([]int, len(partitions))
	for i, p := range partitions {
		topics[i], numbers[i] = p.topic, p.partition
	}
	rows, err := conn.Query(ctx, selectStamped, topics, numbers, stampRows)
	if err != nil {
		return nil, fmt.Errorf("read stamped rows: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (c candidate, err error) {
		return c, r.Scan(&c.seq, &c.size)
	})
	if err != nil {
		return nil, fmt.Errorf("read stamped rows: %w", err)
	}
	return found, nil
}

// within returns the first candidates that together are not too large to hold, at least one.
func within(list []candidate) []candidate {
	bytes := 0
	for i := range list {
		if bytes += list[i].size; i > 0 && bytes > stampBytes {
			return list[:i]
		}
	}
	return list
}

// collectRows reads rows by their number, in any order.
func collectRows(rows pgx.Rows, err error) (map[int64]*row, error) {
	if err != nil {
		return nil, err
	}
	found := map[int64]*row{}
	list, err := pgx.CollectRows(rows, scanRow)
	for _, r := range list {
		found[r.seq] = r
	}
	return found, err
}

func scanRow(from pgx.CollectableRow) (*row, error) {
	var r row
	var relay [16]byte
	err := from.Scan(&r.seq, &r.id, &r.topic, &r.key, &r.value, &r.headerText, &r.recordedAt,
		&relay, &r.partition, &r.Stamp.Seq, &r.void)
	r.Relay = relay
	return &r, err
}

// readEnd returns the stored end of a partition.
func readEnd(ctx context.Context, db *pgx.Conn, cluster string, id kadm.TopicID, number int) (next int64, known bool, err error) {
	err = db.QueryRow(ctx, selectEnd, cluster, [16]byte(id), number).Scan(&next)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read end of partition: %w", err)
	}
	return next, true, nil
}
