package warehouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
)

// ErrBusy tells that another process syncs the source now.
var ErrBusy = errors.New("another process syncs this source")

// session is a connection that holds the right to sync a source, with what it has read and found there. It is not for
// concurrent use.
type session struct {
	*Config
	conn   *pgx.Conn
	source string
	origin string // ce_source of what it publishes
	began  time.Time
	before state

	loaded  []application // not copied yet
	read    int64
	newest  time.Time
	faults  map[string]int64
	broken  int64
	reports int
	stages  map[string]int64 // of all that was read in the session
}

// begin opens a session, waiting a while for another process that has it.
func begin(ctx context.Context, cfg *Config, source string) (*session, error) {
	s := &session{Config: cfg, source: source, stages: map[string]int64{}}
	var err error
	if s.conn, err = connect(ctx, cfg); err != nil {
		return nil, err
	}
	if err = s.prepare(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// connect opens a connection of its own: the lock and the temporary tables last as long as it does. The server notices
// within seconds when this process is gone.
func connect(ctx context.Context, cfg *Config) (*pgx.Conn, error) {
	settings := cfg.Pool.Config().ConnConfig.Copy()
	for name, value := range map[string]string{
		"application_name": "applylens-warehouse", "statement_timeout": "10min",
		"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	} {
		settings.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("connect for the sync: %w", err)
	}
	return conn, nil
}

func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // the server ends the session either way
}

func (s *session) prepare(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	s.tick()
	if _, err := s.conn.Exec(ctx, noteTry, s.source, s.began); err != nil {
		return fmt.Errorf("note the sync's start: %w", err)
	}
	var err error
	if s.before, err = readState(ctx, s.conn, s.source); err != nil {
		return err
	}
	if s.origin, err = outbox.Source(ctx, s.conn); err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, createTemporary); err != nil {
		return fmt.Errorf("make temporary tables: %w", err)
	}
	return s.reset(ctx)
}

func (s *session) lock(ctx context.Context) error {
	deadline := time.Now().Add(lockPatience)
	for {
		var locked bool
		if err := s.conn.QueryRow(ctx, tryLock, s.source).Scan(&locked); err != nil {
			return fmt.Errorf("ask for the source's lock: %w", err)
		}
		switch {
		case locked:
			return nil
		case time.Now().After(deadline):
			return ErrBusy
		}
		if err := pause(ctx, lockEvery); err != nil {
			return err
		}
	}
}

// tick takes the time that numbers what comes now.
func (s *session) tick() { s.began = s.Now().UTC().Truncate(time.Microsecond) }

// reset forgets what was read.
func (s *session) reset(ctx context.Context) error {
	s.loaded, s.read, s.newest, s.faults, s.broken = s.loaded[:0], 0, time.Time{}, map[string]int64{}, 0
	if _, err := s.conn.Exec(ctx, clearTemporary); err != nil {
		return fmt.Errorf("clear temporary tables: %w", err)
	}
	return nil
}

// parse reads one row; it returns false when not even the key can be read.
func (s *session) parse(d *decoder, values []any) (application, bool) {
	s.read++
	a, faults, hasKey := d.decode(values)
	if hasKey && !a.broken {
		if err := a.valid(); err != nil {
			a.broken, faults = true, append(faults, Fault{"", err.Error()})
		}
	}
	s.report(&a, faults, a.broken || !hasKey)
	if a.syncedAt.After(s.newest) {
		s.newest = a.syncedAt
	}
	return a, hasKey
}

// take adds one row that was read.
func (s *session) take(ctx context.Context, d *decoder, values []any) error {
	a, hasKey := s.parse(d, values)
	if !hasKey {
		return nil
	}
	s.loaded = append(s.loaded, a)
	if len(s.loaded) < chunkRows {
		return nil
	}
	return s.flush(ctx)
}

// report counts what could not be taken over, and logs some of it.
func (s *session) report(a *application, faults []Fault, skipped bool) {
	if skipped {
		s.broken++
		s.Metrics.rows.WithLabelValues("broken").Inc()
	}
	seen := map[string]bool{}
	for _, f := range faults {
		if !seen[f.Column] {
			s.faults[f.Column]++
		}
		seen[f.Column] = true
		if s.reports++; s.reports > mostReports {
			continue
		}
		s.Log.Warn("row of the warehouse not taken over as it is", "source", s.source, "system", printable(a.system),
			"application_id", printable(a.id), "column", f.Column, "problem", f.Problem, "skipped", skipped)
	}
}

// reportRest tells how many rows there were beyond those that were logged.
func (s *session) reportRest() {
	if s.reports > mostReports {
		s.Log.Warn("more rows of the warehouse not taken over as they are", "source", s.source, "rows_by_column", s.faults)
	}
}

// flush copies the rows taken to the temporary table.
func (s *session) flush(ctx context.Context) error {
	_, err := s.conn.CopyFrom(ctx, pgx.Identifier{"warehouse_read"}, readColumns,
		pgx.CopyFromSlice(len(s.loaded), func(i int) ([]any, error) { return s.loaded[i].columns(), nil }))
	if err != nil {
		return fmt.Errorf("copy %d rows: %w", len(s.loaded), err)
	}
	s.loaded = s.loaded[:0]
	return nil
}

// columns are the values of readColumns.
func (a *application) columns() []any {
	addresses := a.addresses
	if addresses == nil {
		addresses = []string{}
	}
	return []any{a.system, a.id, addresses, a.company, a.stage, nullZero(a.lastStageChange), nullZero(a.interviewDate), nullZero(a.syncedAt),
		a.removed, a.broken, a.hash(), a.filled()}
}

// compare finds the differences to what is known, and tells what the guard thinks of them.
func (s *session) compare(ctx context.Context, full bool) (differences int64, hold *Hold, err error) {
	taken, err := others(ctx, s.conn, s.source)
	if err != nil {
		return 0, nil, err
	}
	if full {
		if _, err := s.conn.Exec(ctx, addAbsent, s.source); err != nil {
			return 0, nil, fmt.Errorf("find what is gone: %w", err)
		}
	}
	if _, err := s.conn.Exec(ctx, analyzeRead); err != nil {
		return 0, nil, fmt.Errorf("analyze what was read: %w", err)
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

// accept keeps who lets what pass, before it does, and takes over systems of other sources.
func (s *session) accept(ctx context.Context, who *Acceptance, hold *Hold, differences int64) error {
	passed := Hold{}
	if hold != nil {
		passed = *hold
	}
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, insertAudit, who.Actor, who.Reason, s.source, string(passed.Reason), passed.Detail, differences); err != nil {
			return fmt.Errorf("keep who accepts: %w", err)
		}
		if _, err := tx.Exec(ctx, takeSystems, s.source); err != nil {
			return fmt.Errorf("take systems over: %w", err)
		}
		return nil
	})
}

// apply commits the differences in chunks: the states and their events, in one transaction with what also does. also is
// nil or is called once, in the first of them, and is why there is one transaction at least.
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

// eventsOf makes the events of differences and counts them.
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
