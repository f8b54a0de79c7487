package warehouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/printable"
)

// compare finds the differences from the known state, and returns the guard's verdict.
func (s *session) compare(ctx context.Context, full bool) (differences int64, hold *Hold, err error) {
	taken, owners, err := others(ctx, s.conn, s.source)
	if s.owners = owners; err != nil {
		return 0, nil, err
	}
	if full {
		if _, err := s.conn.Exec(ctx, addAbsent, s.source); err != nil {
			return 0, nil, fmt.Errorf("find removed applications: %w", err)
		}
	}
	if _, err := s.conn.Exec(ctx, analyzeRead); err != nil {
		return 0, nil, fmt.Errorf("analyze the rows read: %w", err)
	}
	tag, err := s.conn.Exec(ctx, fillDiff)
	if err != nil {
		return 0, nil, fmt.Errorf("find differences: %w", err)
	}
	since := s.began.Add(-guardWindow)
	if s.before.accepted.After(since) {
		since = s.before.accepted
	}
	systems, err := countSystems(ctx, s.conn, since)
	if err != nil {
		return 0, nil, err
	}
	hold = s.Guard.judge(&observation{full: full, read: s.read, faults: s.faults, systems: systems, others: taken,
		newest: s.newest, cursor: s.before.cursor, overlap: s.Overlap})
	return tag.RowsAffected(), hold, nil
}

// applied counts what was committed.
type applied struct{ added, changed, removed int64 }

// accept records who accepts what, and takes over the systems of other sources.
func (s *session) accept(ctx context.Context, who *Acceptance, hold *Hold, differences int64) error {
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, insertAudit, shorten(who.Actor), printable.Text(who.Reason), s.source, string(hold.Reason), hold.Detail, differences); err != nil {
			return fmt.Errorf("record the acceptance: %w", err)
		}
		if _, err := tx.Exec(ctx, takeSystems, s.source, who.TakeOver); err != nil {
			return fmt.Errorf("take over systems: %w", err)
		}
		return nil
	})
}

// apply commits the differences in chunks: the states and their events in one transaction. also, unless nil, is called once
// in the first transaction, even if there are no differences.
func (s *session) apply(ctx context.Context, differences int64, also func(pgx.Tx) error) (applied, error) {
	var total applied
	for from := int64(0); from < differences || also != nil; from += chunkRows {
		done, err := s.applyChunk(ctx, from, also)
		if err != nil {
			return total, err
		}
		also = nil
		total.added += done.added
		total.changed += done.changed
		total.removed += done.removed
		s.count(done)
		s.Wake()
	}
	return total, nil
}

func (s *session) count(done applied) {
	s.Metrics.rows.WithLabelValues("added").Add(float64(done.added))
	s.Metrics.rows.WithLabelValues("changed").Add(float64(done.changed))
	s.Metrics.rows.WithLabelValues("removed").Add(float64(done.removed))
}

var errTakenOver = errors.New("another source has taken over one of the systems")

func (s *session) applyChunk(ctx context.Context, from int64, also func(pgx.Tx) error) (applied, error) {
	var done applied
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		done = applied{}
		var owned bool
		if err := tx.QueryRow(ctx, lockSystems, s.source).Scan(&owned); err != nil {
			return fmt.Errorf("lock systems: %w", err)
		}
		if !owned {
			return errTakenOver
		}
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, putChunk, from, from+chunkRows, s.began.UnixMicro(), s.began)
		if err != nil {
			return fmt.Errorf("store states: %w", err)
		}
		list, err := pgx.CollectRows(rows, scanDifference)
		if err != nil {
			return fmt.Errorf("store states: %w", err)
		}
		if err := outbox.Add(ctx, tx, s.eventsOf(list, &done)...); err != nil {
			return fmt.Errorf("add events: %w", err)
		}
		return nil
	})
	return done, err
}

// eventsOf returns the events of differences, and counts them.
func (s *session) eventsOf(list []difference, done *applied) []*events.Event {
	made := make([]*events.Event, len(list))
	for i := range list {
		d := &list[i]
		made[i] = d.event(d.version, s.began)
		made[i].ID, made[i].Source = events.NewUUIDv7(s.began).String(), s.origin
		switch {
		case d.removed:
			done.removed++
		case d.known:
			done.changed++
		default:
			done.added++
		}
	}
	return made
}
