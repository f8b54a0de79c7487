package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// selectSequencedSQL finds the next unpublished rows of some partitions by their relay sequences, above the floor, in the order
// in which they must stand in the log: earlier terms first.
const selectSequencedSQL = `
SELECT o.seq, octet_length(o.payload) + octet_length(o.headers::text)
FROM outbox o
JOIN unnest($1::text[], $2::integer[]) AS p (topic, number) ON o.aggregatetype = p.topic AND o.partition = p.number
JOIN relays r ON r.relay_id = o.relay_id
WHERE o.published_at IS NULL AND o.seq > $4
ORDER BY r.started_at, o.relay_seq
LIMIT $3`

// selectRowsSQL reads rows by seq.
const selectRowsSQL = `SELECT ` + rowColumns + ` FROM outbox o WHERE o.seq = ANY ($1)`

// rowColumns are what scanRow reads of the outbox o.
const rowColumns = `o.seq, o.id, o.aggregatetype, o.aggregateid, o.payload, o.headers, o.recorded_at,
    o.relay_id, o.partition, o.relay_seq, o.state <> 'open'`

// candidate is a row that may be sequenced or loaded.
type candidate struct {
	seq   int64
	topic string
	key   []byte
	size  int
}

// within returns the first candidates that together are not too large to hold, at least one.
func within(list []candidate) []candidate {
	bytes := 0
	for i := range list {
		if bytes += list[i].size; i > 0 && bytes > assignBytes {
			return list[:i]
		}
	}
	return list
}

// loadSpilled loads sequenced rows that are not in memory, for partitions whose queue is empty.
func (t *term) loadSpilled(ctx context.Context) error {
	var wanting []*partition
	for _, p := range t.partitions {
		if p.spilled && p.stage == stageReady && !p.busy && len(p.queue) == 0 && p.due(time.Now()) {
			wanting = append(wanting, p)
		}
	}
	if len(wanting) == 0 {
		return nil
	}
	found, err := selectSequenced(ctx, t.conn, wanting, t.floors.published)
	if err != nil {
		return err
	}
	chosen := within(found)
	rows, err := t.load(ctx, chosen)
	if err != nil {
		return err
	}
	complete := len(found) < assignRows && len(chosen) == len(found)
	for _, p := range wanting {
		p.spilled = false
	}
	for _, r := range rows {
		p := t.partitions[r.topicPartition]
		r.again = r.Relay != t.id || r.Stamp.Seq <= t.sequences[r.topicPartition].sent
		p.push(r)
	}
	for _, p := range wanting {
		p.spilled = p.spilled || !complete
	}
	return nil
}

func selectSequenced(ctx context.Context, conn *pgx.Conn, partitions []*partition, floor int64) ([]candidate, error) {
	topics, numbers := make([]string, len(partitions)), make([]int, len(partitions))
	for i, p := range partitions {
		topics[i], numbers[i] = p.topic, p.partition
	}
	rows, err := conn.Query(ctx, selectSequencedSQL, topics, numbers, assignRows, floor)
	if err != nil {
		return nil, fmt.Errorf("read sequenced rows: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (c candidate, err error) {
		return c, r.Scan(&c.seq, &c.size)
	})
	if err != nil {
		return nil, fmt.Errorf("read sequenced rows: %w", err)
	}
	return found, nil
}

// load returns rows in the order of their candidates, ready to be published.
func (t *term) load(ctx context.Context, list []candidate) ([]*row, error) {
	if len(list) == 0 {
		return nil, nil
	}
	seqs := make([]int64, len(list))
	for i := range list {
		seqs[i] = list[i].seq
	}
	found, err := collectRows(t.conn.Query(ctx, selectRowsSQL, seqs))
	if err != nil {
		return nil, fmt.Errorf("read outbox rows: %w", err)
	}
	return t.prepare(ctx, seqs, found)
}

// prepare returns rows in the order of seqs, and gives up those that cannot be published.
func (t *term) prepare(ctx context.Context, seqs []int64, found map[int64]*row) ([]*row, error) {
	rows := make([]*row, 0, len(seqs))
	for _, seq := range seqs {
		r := found[seq]
		if r == nil {
			continue
		}
		r.signedBy = t.trust.keyOf(r.Relay)
		if err := r.prepare(t.source); err != nil {
			bytes := r.size()
			if err := t.giveUp(ctx, r, err); err != nil {
				return nil, err
			}
			t.givenUp(r, bytes, err)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// collectRows returns rows by seq. It takes what Query returns.
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
