package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
)

// loadSpilled brings rows that were stamped but are not in memory back, for partitions that have used theirs up.
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
	found, err := stampedOf(ctx, t.conn, wanting)
	if err != nil {
		return err
	}
	chosen := within(found)
	rows, err := t.read(ctx, chosen)
	if err != nil {
		return err
	}
	complete := len(found) < stampRows && len(chosen) == len(found)
	for _, p := range wanting {
		p.spilled = false
	}
	for _, r := range rows {
		p := t.partitions[r.place]
		r.again = r.Relay != t.id || r.Stamp.Seq <= t.numbers[r.place].sent
		p.push(r)
	}
	for _, p := range wanting {
		p.spilled = p.spilled || !complete
	}
	return nil
}

// read returns rows in the order of their candidates, ready to be published.
func (t *term) read(ctx context.Context, list []candidate) ([]*row, error) {
	if len(list) == 0 {
		return nil, nil
	}
	seqs := make([]int64, len(list))
	for i := range list {
		seqs[i] = list[i].seq
	}
	found, err := collectRows(t.conn.Query(ctx, selectRows, seqs))
	if err != nil {
		return nil, fmt.Errorf("read outbox rows: %w", err)
	}
	return t.prepare(ctx, seqs, found)
}

// prepare returns rows in the order of seqs, those that cannot be published as dead ones.
func (t *term) prepare(ctx context.Context, seqs []int64, found map[int64]*row) ([]*row, error) {
	rows := make([]*row, 0, len(seqs))
	for _, seq := range seqs {
		r := found[seq]
		if r == nil {
			continue
		}
		if err := r.prepare(t.source); err != nil {
			if err := t.bury(ctx, r, err); err != nil {
				return nil, err
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// bury gives a row up: it is marked dead and its number goes out without content.
func (t *term) bury(ctx context.Context, r *row, why error) error {
	if _, err := t.conn.Exec(ctx, markDead, r.seq, why.Error()); err != nil {
		return fmt.Errorf("mark row dead: %w", err)
	}
	t.metrics.dead.Inc()
	t.Log.Error("outbox row given up: it can never be published", "seq", r.seq, "event_id", r.id,
		"topic", r.topic, "partition", r.partition, "bytes", r.size(), "error", why)
	return r.empty(t.source)
}

// stampNext stamps rows and queues them, unless enough are queued. It tells whether it asked the database.
func (t *term) stampNext(ctx context.Context) (asked bool, err error) {
	t.more = false
	now := time.Now()
	for _, p := range t.partitions {
		if p.crowded(now) {
			return false, nil
		}
	}
	rows, full, err := t.stamp(ctx)
	if err != nil {
		return true, err
	}
	t.more = full
	for _, r := range rows {
		t.partitions[r.place].push(r)
	}
	return true, nil
}

// errTaken tells that a row that was to be stamped is gone. Its number may not be lost, so all is tried again.
var errTaken = errors.New("an outbox row vanished while it was stamped")

// stamp gives the next rows their numbers, in the order of seq.
func (t *term) stamp(ctx context.Context) (rows []*row, full bool, err error) {
	list, err := unstamped(ctx, t.conn, t.topics)
	if err != nil || len(list) == 0 {
		return nil, false, err
	}
	chosen := within(list)
	full = len(list) == stampRows || len(chosen) < len(list)
	numbers := t.number(chosen)
	found, err := t.saveStamps(ctx, numbers)
	if errors.Is(err, errTaken) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("stamp outbox rows: %w", err)
	}
	failpoint.Hit("relay_after_stamp")
	for at, last := range numbers.last {
		t.numbers[at] = last
	}
	rows, err = t.prepare(ctx, numbers.seqs, found)
	return rows, full, err
}

// saveStamps writes the numbers, all or none, and returns the rows.
func (t *term) saveStamps(ctx context.Context, n *numbering) (found map[int64]*row, err error) {
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(updateStamps, [16]byte(t.id), n.seqs, n.partitions, n.stamps).Query(func(rows pgx.Rows) error {
		found, err = collectRows(rows, nil)
		return err
	})
	if err := t.conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	if len(found) == len(n.seqs) {
		_, err = t.conn.Exec(ctx, "COMMIT")
		return found, err
	}
	if _, err := t.conn.Exec(ctx, "ROLLBACK"); err != nil {
		return nil, err
	}
	return nil, errTaken
}

// numbering is what rows are to be stamped with, in the order of seq.
type numbering struct {
	seqs       []int64
	partitions []int
	stamps     []int64
	last       map[place]numbers
}

// number chooses partition and number of rows. It changes nothing: the numbers are used when the transaction commits.
func (t *term) number(list []candidate) *numbering {
	n := &numbering{last: map[place]numbers{}}
	for _, c := range list {
		at := place{c.topic, events.Partition(c.key, t.partitionCount(c.topic))}
		last, begun := n.last[at]
		if !begun {
			last = t.numbers[at]
		}
		last.given++
		n.last[at] = last
		n.seqs = append(n.seqs, c.seq)
		n.partitions = append(n.partitions, at.partition)
		n.stamps = append(n.stamps, last.given)
	}
	return n
}

// giveUpUnknownTopics gives up rows of topics that we do not have, and tells how many they were.
func giveUpUnknownTopics(ctx context.Context, tx pgx.Tx) (int64, error) {
	tag, err := tx.Exec(ctx, buryStrangers, events.Topics)
	if err != nil {
		return 0, fmt.Errorf("give up rows of unknown topics: %w", err)
	}
	return tag.RowsAffected(), nil
}
