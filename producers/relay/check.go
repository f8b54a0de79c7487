package relay

import (
	"context"
	"errors"
	"fmt"

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

// checking is what a check needs to know about a partition.
type checking struct {
	topicPartition
	trust *trust
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
	there, err := t.stands(ctx, c, *last, ends)
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
		if there, err = t.stands(ctx, c, *probe, ends); err != nil {
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
func (t *term) stands(ctx context.Context, c checking, row published, ends *inspection) (bool, error) {
	switch {
	case row.offset < ends.start:
		return true, nil
	case row.offset >= ends.end:
		return false, nil
	}
	entries, _, err := readLog(ctx, t.Conn, c.trust, c.topicPartition, row.offset, 1) // the broker sends one whole batch however little is asked for
	if err != nil {
		return false, err
	}
	return len(entries) > 0 && entries[0].offset == row.offset && entries[0].head.Stamp == row.stamp, nil
}
