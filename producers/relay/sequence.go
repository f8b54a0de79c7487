package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
)

// selectUnsequencedSQL finds rows without a relay sequence in the order of seq, above the floor. That is no cursor: a row
// whose transaction committed late has a seq below others that were published long ago.
const selectUnsequencedSQL = `
SELECT seq, aggregatetype, aggregateid, octet_length(payload) + octet_length(headers::text)
FROM outbox
WHERE published_at IS NULL AND relay_id IS NULL AND aggregatetype = ANY ($1) AND seq > $2
ORDER BY seq
LIMIT $3`

// assignSequencesSQL gives rows their relay sequences, all of them or none, and returns the rows as they are then. It
// locks them first, in the order of seq as erasing does. When a row is gone or has a sequence already, the constraint
// outbox_stamp refuses all of them: a sequence that nobody publishes would halt the consumers. That is not a condition of
// the WHERE clause, since by its statistics PostgreSQL takes unpublished rows for so rare that it would compare each row
// of a large backlog with each sequence.
const assignSequencesSQL = `
WITH present AS MATERIALIZED (
    SELECT seq FROM outbox WHERE seq = ANY ($2) ORDER BY seq FOR NO KEY UPDATE)
UPDATE outbox o
SET relay_id = $1, partition = s.partition,
    relay_seq = CASE WHEN o.relay_id IS NULL AND (SELECT count(*) FROM present) = cardinality($2) THEN s.relay_seq END
FROM unnest($2::bigint[], $3::integer[], $4::bigint[]) AS s (seq, partition, relay_seq)
WHERE o.seq = s.seq
RETURNING ` + rowColumns

// sequence counts the relay sequences of this term in a partition: assigned to a row, and sent at least once.
type sequence struct{ assigned, sent int64 }

// assignNext assigns sequences to the next rows and queues them, unless enough are queued. It tells whether it asked the
// database.
func (t *term) assignNext(ctx context.Context) (asked bool, err error) {
	t.more = false
	now := time.Now()
	for _, p := range t.partitions {
		if p.crowded(now) {
			return false, nil
		}
	}
	rows, full, err := t.assignSequences(ctx)
	if err != nil {
		return true, err
	}
	t.more = full
	for _, r := range rows {
		t.partitions[r.topicPartition].push(r)
	}
	return true, nil
}

// assignSequences gives the next rows their sequences, in the order of seq. The two statements are all the round trips to
// PostgreSQL that come before publishing. full tells that more rows wait.
func (t *term) assignSequences(ctx context.Context) (rows []*row, full bool, err error) {
	list, full, err := t.nextUnsequenced(ctx)
	if err != nil || len(list) == 0 {
		return nil, false, err
	}
	chosen := within(list)
	full = full || len(chosen) < len(list)
	plan := t.planSequences(chosen)
	found, err := t.saveSequences(ctx, plan)
	if errors.Is(err, errRowsChanged) {
		t.Log.Warn("outbox rows were deleted or sequenced by another process; trying again", "rows", len(chosen))
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("assign relay sequences to outbox rows: %w", err)
	}
	failpoint.Hit("relay_after_stamp")
	for at, last := range plan.last {
		t.sequences[at] = last
	}
	rows, err = t.prepare(ctx, plan.seqs, found)
	return rows, full, err
}

// nextUnsequenced returns the next rows that can get sequences. Those of a partition whose log was never read in this term
// are passed over: in a database that was restored they may be in the log under sequences of an earlier term. full tells
// that more rows may wait behind them.
func (t *term) nextUnsequenced(ctx context.Context) (list []candidate, full bool, err error) {
	behind := t.floors.sequenced
	for {
		page, err := selectUnsequenced(ctx, t.conn, t.topics, behind)
		if err != nil || len(page) == 0 {
			return nil, false, err
		}
		behind, full = page[len(page)-1].seq, len(page) == assignRows
		list = slices.DeleteFunc(page, func(c candidate) bool { return !t.wasRead(c) })
		if len(list) > 0 || !full {
			return list, full, nil
		}
	}
}

// wasRead tells whether the log was read to which a row goes.
func (t *term) wasRead(c candidate) bool {
	p := t.partitions[t.goesTo(c)]
	return p != nil && p.wasRead
}

// goesTo is the partition of a row.
func (t *term) goesTo(c candidate) topicPartition {
	return topicPartition{c.topic, events.Partition(c.key, t.partitionCount(c.topic))}
}

// assignment is which relay sequences rows are to get, in the order of seq.
type assignment struct {
	seqs       []int64
	partitions []int
	relaySeqs  []int64
	last       map[topicPartition]sequence
}

// planSequences chooses partition and relay sequence of rows. It changes nothing: the sequences are used up when the
// statement commits.
func (t *term) planSequences(list []candidate) *assignment {
	plan := &assignment{last: map[topicPartition]sequence{}}
	for _, c := range list {
		at := t.goesTo(c)
		last, begun := plan.last[at]
		if !begun {
			last = t.sequences[at]
		}
		last.assigned++
		plan.last[at] = last
		plan.seqs = append(plan.seqs, c.seq)
		plan.partitions = append(plan.partitions, at.partition)
		plan.relaySeqs = append(plan.relaySeqs, last.assigned)
	}
	return plan
}

// errRowsChanged tells that a row that was to get a sequence is gone or has one. None was assigned.
var errRowsChanged = errors.New("an outbox row changed before its relay sequence was assigned")

// saveSequences writes the sequences, all or none, in a transaction that is committed when it returns, and returns the
// rows.
func (t *term) saveSequences(ctx context.Context, plan *assignment) (map[int64]*row, error) {
	found, err := collectRows(t.conn.Query(ctx, assignSequencesSQL, [16]byte(t.id), plan.seqs, plan.partitions, plan.relaySeqs))
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.ConstraintName == "outbox_stamp" || err == nil && len(found) == 0 {
		return nil, errRowsChanged
	}
	return found, err
}

func selectUnsequenced(ctx context.Context, conn *pgx.Conn, topics []string, behind int64) ([]candidate, error) {
	rows, err := conn.Query(ctx, selectUnsequencedSQL, topics, behind, assignRows)
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
