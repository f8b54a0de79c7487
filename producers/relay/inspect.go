package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/kafkalog"
)

// lastPublishedSQL finds the last row of ours in a partition before an offset.
const lastPublishedSQL = `
SELECT log_offset, relay_id, relay_seq
FROM outbox
WHERE aggregatetype = $1 AND partition = $2 AND published_at IS NOT NULL AND log_offset < $3
ORDER BY log_offset DESC
LIMIT 1`

// nextPublishedSQL finds the first row of ours in a partition at or behind an offset.
const nextPublishedSQL = `
SELECT log_offset, relay_id, relay_seq
FROM outbox
WHERE aggregatetype = $1 AND partition = $2 AND published_at IS NOT NULL AND log_offset >= $3
ORDER BY log_offset
LIMIT 1`

// unpublishSQL makes rows be published again: those at or behind an offset from which the log has lost records.
const unpublishSQL = `
UPDATE outbox
SET published_at = NULL, log_offset = NULL
WHERE aggregatetype = $1 AND partition = $2 AND published_at IS NOT NULL AND relay_id IS NOT NULL AND log_offset >= $3`

// inspection is the result of one step of inspecting a partition's log.
type inspection struct {
	// Of a check: the log's bounds, and the first offset whose record of ours is gone or uncertain; -1 when there is none.
	start, end, cut int64

	// Of reading: the records with relay sequences, and the offset to read on from.
	entries []entry
	next    int64
}

// inspectAll begins the next step for every partition that is not ready.
func (t *term) inspectAll() {
	now := time.Now()
	for _, p := range t.partitions {
		if p.stage == stageReady || !p.due(now) {
			continue
		}
		c := checking{topicPartition: p.topicPartition, known: p.known, next: p.next, bound: p.next}
		if p.moved {
			c.bound = min(p.sure, p.next)
		}
		at, from, work := p.topicPartition, p.reading, p.stage
		t.start(p, func(ctx context.Context) result {
			if work == stageCheck {
				return t.check(ctx, c)
			}
			entries, next, err := readLog(ctx, t.Conn, at, from, readBytes)
			if err == nil && next == from {
				err = fmt.Errorf("read %s/%d at %d: nothing came", at.topic, at.partition, from)
			}
			return result{inspection: &inspection{entries: entries, next: next, cut: -1}, err: err}
		})
	}
}

// checking is what a check needs to know about a partition.
type checking struct {
	topicPartition
	known bool
	next  int64 // one past the last record known to be ours
	bound int64 // the same, as far as the present leader has it: behind it the log may have been truncated and grown again
}

// check finds out whether the published records are still in the log.
func (t *term) check(ctx context.Context, c checking) result {
	found := &inspection{cut: -1}
	r := result{inspection: found}
	if found.start, found.end, r.err = kafkalog.Bounds(ctx, t.Conn, t.Conn.Topic(c.topic), c.partition); r.err != nil || !c.known {
		return r
	}
	if certain := min(c.bound, found.end); certain < c.next {
		found.cut = certain
	}
	lost, err := t.firstLost(ctx, c, found)
	if r.err = err; err == nil && lost >= 0 {
		found.cut = lost
	}
	return r
}

// firstLost returns the offset of the first record of ours before c.bound that is gone, -1 when the last one is there.
// Logs lose records from the end: if a record is there, all before it are.
func (t *term) firstLost(ctx context.Context, c checking, ends *inspection) (int64, error) {
	last, err := t.publishedRow(ctx, lastPublishedSQL, c.topicPartition, c.bound)
	if err != nil || last == nil {
		return -1, err
	}
	there, err := t.stands(ctx, c.topicPartition, *last, ends)
	if err != nil || there {
		return -1, err
	}
	lost, low, high := last.offset, ends.start, last.offset
	for low < high {
		middle := low + (high-low)/2
		probe, err := t.publishedRow(ctx, nextPublishedSQL, c.topicPartition, middle)
		if err != nil {
			return -1, err
		}
		if probe == nil || probe.offset >= high {
			high = middle
			continue
		}
		if there, err = t.stands(ctx, c.topicPartition, *probe, ends); err != nil {
			return -1, err
		}
		if there {
			low = probe.offset + 1
		} else {
			lost, high = probe.offset, middle
		}
	}
	return lost, nil
}

// published is where a row stands in the log.
type published struct {
	offset int64
	stamp  events.Stamp
}

func (t *term) publishedRow(ctx context.Context, query string, at topicPartition, offset int64) (*published, error) {
	var row published
	var relay [16]byte
	err := t.Pool.QueryRow(ctx, query, at.topic, at.partition, offset).Scan(&row.offset, &relay, &row.stamp.Seq)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read published row: %w", err)
	}
	row.stamp.Relay = relay
	return &row, nil
}

// stands tells whether a record is where it was published, or has been removed by retention.
func (t *term) stands(ctx context.Context, at topicPartition, row published, ends *inspection) (bool, error) {
	switch {
	case row.offset < ends.start:
		return true, nil
	case row.offset >= ends.end:
		return false, nil
	}
	entries, _, err := readLog(ctx, t.Conn, at, row.offset, 1) // the broker sends one whole batch however little is asked for
	if err != nil {
		return false, err
	}
	return len(entries) > 0 && entries[0].offset == row.offset && entries[0].head.Stamp == row.stamp, nil
}

// receiveInspection handles the result of one step of an inspection.
func (t *term) receiveInspection(ctx context.Context, r result) error {
	p := r.p
	if r.err != nil {
		t.Log.Warn("reading the log failed", "topic", p.topic, "partition", p.partition, "error", r.err)
		p.failed(time.Now())
		p.stage = stageCheck
		return nil
	}
	switch p.stage {
	case stageCheck:
		return t.receiveCheck(ctx, p, r.inspection)
	case stageRead:
		if err := t.reconcile(ctx, p, r.inspection.entries); err != nil {
			return err
		}
		p.read(r.inspection.next)
	}
	return nil
}

// receiveCheck has rows published again whose records are gone, before reading on.
func (t *term) receiveCheck(ctx context.Context, p *partition, found *inspection) error {
	from := found.cut
	if !p.known {
		from, p.next = 0, 0
	}
	if from >= 0 {
		p.next = min(p.next, from)
		if err := t.publishAgain(ctx, p, from); err != nil {
			return err
		}
	}
	p.known, p.moved, p.sure, p.likely = true, false, p.next, p.next
	p.stage, p.end = stageRead, found.end
	p.read(max(p.next, found.start))
	return nil
}

// publishAgain marks rows at and behind an offset as unpublished, and stores the end of the partition, in one transaction.
func (t *term) publishAgain(ctx context.Context, p *partition, from int64) error {
	var rows int64
	err := pgx.BeginFunc(ctx, t.conn, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, unpublishSQL, p.topic, p.partition, from)
		if err != nil {
			return err
		}
		rows = tag.RowsAffected()
		_, err = tx.Exec(ctx, saveEndSQL, t.layout.cluster, p.topic, [16]byte(p.topicID), p.partition, p.next)
		return err
	})
	if err != nil {
		return fmt.Errorf("prepare publishing again: %w", err)
	}
	if rows > 0 {
		t.Log.Warn("searching the log for published rows; lost ones are published again",
			"topic", p.topic, "partition", p.partition, "offset", from, "rows", rows)
	}
	return nil
}
