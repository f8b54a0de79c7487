package indexer

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/search/elastic"
)

const (
	// lockSeen locks marks, in the order in which everybody does, and tells how they are now.
	lockSeen = `
SELECT mail_id, generation FROM dirty_mails WHERE mail_id = ANY ($1::uuid[]) ORDER BY mail_id FOR UPDATE`

	// deleteSeen takes away marks whose mails can be found as they were marked.
	deleteSeen = `
DELETE FROM dirty_mails WHERE mail_id = ANY ($1::uuid[])`

	// renewSeen notes of marks that were made again meanwhile that what came before a time is done.
	renewSeen = `
UPDATE dirty_mails SET marked_at = $2 WHERE mail_id = ANY ($1::uuid[])`

	// delayRefused lets marks of documents that were refused wait: a minute, two, four, up to a day.
	delayRefused = `
UPDATE dirty_mails
SET refusals = refusals + 1, not_before = now() + LEAST(interval '1 day', (1 << LEAST(refusals, 12)) * interval '1 minute')
WHERE mail_id = ANY ($1::uuid[])`

	// selectSettled tells whether no mark is as old as a time, by the database's clock, and searches read an index. Of
	// documents that were refused, which may take for ever, only the person's own count.
	selectSettled = `
WITH asked AS MATERIALIZED (SELECT $1::timestamptz + (clock_timestamp() - $2::timestamptz) AS at)
SELECT NOT EXISTS (SELECT FROM dirty_mails WHERE NOT backfill AND refusals = 0 AND marked_at <= (SELECT at FROM asked))
   AND NOT EXISTS (SELECT FROM dirty_mails WHERE backfill AND refusals = 0 AND marked_at <= (SELECT at FROM asked))
   AND NOT EXISTS (SELECT FROM dirty_mails d JOIN live_mails m ON m.id = d.mail_id
                   WHERE d.refusals > 0 AND m.user_id = $3 AND d.marked_at <= (SELECT at FROM asked))
   AND NOT EXISTS (SELECT FROM dirty_addresses WHERE marked_at <= (SELECT at FROM asked))
   AND NOT EXISTS (SELECT FROM dirty_versions WHERE marked_at <= (SELECT at FROM asked))
   AND EXISTS (SELECT FROM search_indices WHERE state = 'live')`
)

// result is what became of the mails of a batch.
type result struct {
	done, refused []mark
	delayed       int // mails of which an operation has to be sent again
	missing       bool
	written       int // operations
	superseded    int
	enriched      int
}

// judge sorts the mails of a batch by what became of their operations: a mail is done when all of them are.
func (b *batch) judge(outcomes []elastic.Outcome) result {
	var r result
	for i, m := range b.marks {
		worst := elastic.Written
		for _, outcome := range outcomes[i*len(b.targets) : (i+1)*len(b.targets)] {
			worst = max(worst, outcome)
			switch outcome {
			case elastic.Written:
				r.written++
			case elastic.Superseded:
				r.superseded++
			}
		}
		switch {
		case worst <= elastic.Superseded || failpoint.Broken("bulk_items"):
			r.done = append(r.done, m)
		case worst == elastic.Refused:
			r.refused = append(r.refused, m)
		default:
			r.delayed++
			r.missing = r.missing || worst == elastic.Missing
		}
		if worst == elastic.Written && b.enriched[m.id.String()] {
			r.enriched++
		}
	}
	return r
}

// sent are the marks of documents that were taken but cannot be found yet.
type sent struct {
	marks    []mark
	readAt   time.Time // of the first of them
	began    time.Time
	enriched int
}

// add adds what a batch came to.
func (s *sent) add(b *batch, r result) {
	if len(s.marks) == 0 {
		s.readAt, s.began = b.readAt, time.Now()
	}
	s.marks = append(s.marks, r.done...)
	s.enriched += r.enriched
}

// due tells whether it is time to let searches find them: each time costs a segment.
func (s *sent) due(more bool) bool {
	return len(s.marks) > 0 && (!more || len(s.marks) >= refreshMails || time.Since(s.began) >= refreshTime)
}

// The most mails, and the longest time, that wait to be found while there is more to send.
const (
	refreshMails = 5000
	refreshTime  = time.Second
)

// clear takes away the marks of what can be found now.
func (x *indexer) clear(ctx context.Context, marks []mark, readAt time.Time) error {
	err := x.transact(ctx, func(tx pgx.Tx) error {
		same, changed, err := compare(ctx, tx, marks)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, deleteSeen, same); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, renewSeen, changed, readAt)
		return err
	})
	if err != nil {
		return fmt.Errorf("clear marks: %w", err)
	}
	return nil
}

// compare locks marks and tells which of them are as they were when their mails were read, and which were made again.
func compare(ctx context.Context, tx pgx.Tx, marks []mark) (same, changed [][16]byte, err error) {
	seen := make(map[events.UUID]int64, len(marks))
	for _, m := range marks {
		seen[m.id] = m.generation
	}
	rows, err := tx.Query(ctx, lockSeen, ids(marks))
	if err != nil {
		return nil, nil, err
	}
	var now mark
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&now.id), &now.generation}, func() error {
		if seen[now.id] == now.generation {
			same = append(same, now.id)
		} else {
			changed = append(changed, now.id)
		}
		return nil
	})
	return same, changed, err
}

// delay lets refused documents wait, unless they have changed meanwhile.
func (x *indexer) delay(ctx context.Context, refused []mark) error {
	if len(refused) == 0 {
		return nil
	}
	err := x.transact(ctx, func(tx pgx.Tx) error {
		same, _, err := compare(ctx, tx, refused)
		if err == nil {
			_, err = tx.Exec(ctx, delayRefused, same)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delay refused documents: %w", err)
	}
	x.Log.Error("Elasticsearch refuses documents; they are tried again later", "documents", len(refused), "first", refused[0].id.String())
	return nil
}
