package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

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
		c := checking{topicPartition: p.topicPartition, trust: t.trust, known: p.known, next: p.next, bound: p.next}
		if p.moved {
			c.bound = min(p.sure, p.next)
		}
		at, from, work, trust := p.topicPartition, p.reading, p.stage, t.trust
		t.start(p, func(ctx context.Context) result {
			if work == stageCheck {
				return t.check(ctx, c)
			}
			entries, next, err := readLog(ctx, t.Conn, trust, at, from, readBytes)
			if err == nil && next == from {
				err = fmt.Errorf("read %s/%d at %d: nothing came", at.topic, at.partition, from)
			}
			return result{inspection: &inspection{entries: entries, next: next, cut: -1}, err: err}
		})
	}
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
	return t.noteRead(ctx, p)
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
	return t.noteRead(ctx, p)
}

// publishAgain marks rows at and behind an offset as unpublished, and stores the end of the partition, in one transaction.
func (t *term) publishAgain(ctx context.Context, p *partition, from int64) error {
	var rows int64
	err := pgx.BeginFunc(ctx, t.conn, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, unpublishSQL, p.topic, p.partition, from)
		if err != nil {
			return err
		}
		if rows = tag.RowsAffected(); rows > 0 {
			if _, err := tx.Exec(ctx, lowerFloorSQL); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, saveEndSQL, t.layout.cluster, p.topic, [16]byte(p.topicID), p.partition, p.next)
		return err
	})
	if err != nil {
		return fmt.Errorf("prepare publishing again: %w", err)
	}
	if rows > 0 {
		t.floors.published = 0
		t.Log.Warn("searching the log for published rows; lost ones are published again",
			"topic", p.topic, "partition", p.partition, "offset", from, "rows", rows)
	}
	return nil
}
