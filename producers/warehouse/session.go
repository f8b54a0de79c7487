package warehouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
)

// ErrBusy means that another process is syncing the source.
var ErrBusy = errors.New("another process is syncing this source")

// session is a connection that holds the lock of a source, with the rows read and their differences. It is not safe for
// concurrent use.
type session struct {
	*Config
	conn   *pgx.Conn
	source string
	origin string // ce_source of its events
	began  time.Time
	before state

	loaded  []application // not yet copied
	read    int64
	newest  time.Time
	faults  map[string]int64
	broken  int64
	reports int
	stages  map[string]int64 // of all rows read in the session
	owners  []string         // other sources that own systems read
}

// begin opens a session. It waits a while if another process holds the lock.
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

// connect opens a dedicated connection: the lock and the temporary tables last as long as it does. The server detects
// within seconds that this process is gone.
func connect(ctx context.Context, cfg *Config) (*pgx.Conn, error) {
	conn, err := postgres.Connect(ctx, cfg.Pool, map[string]string{
		"application_name": "applylens-warehouse", "statement_timeout": "10min",
		"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	})
	if err != nil {
		return nil, fmt.Errorf("connect for the sync: %w", err)
	}
	return conn, nil
}

func (s *session) close() { postgres.Close(s.conn) }

func (s *session) prepare(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	s.tick()
	if _, err := s.conn.Exec(ctx, noteTry, s.source, s.began); err != nil {
		return fmt.Errorf("record the start of the sync: %w", err)
	}
	var err error
	if s.before, err = readState(ctx, s.conn, s.source); err != nil {
		return err
	}
	if s.origin, err = outbox.Source(ctx, s.conn); err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, createTemporary); err != nil {
		return fmt.Errorf("create temporary tables: %w", err)
	}
	return s.reset(ctx)
}

func (s *session) lock(ctx context.Context) error {
	deadline := time.Now().Add(lockPatience)
	for {
		var locked bool
		if err := s.conn.QueryRow(ctx, tryLock, s.source).Scan(&locked); err != nil {
			return fmt.Errorf("lock the source: %w", err)
		}
		switch {
		case locked:
			return nil
		case time.Now().After(deadline):
			return ErrBusy
		}
		if err := retry.Wait(ctx, lockEvery); err != nil {
			return err
		}
	}
}

// tick takes the time from which the next versions are derived.
func (s *session) tick() { s.began = s.Now().UTC().Truncate(time.Microsecond) }

// reset discards the rows read.
func (s *session) reset(ctx context.Context) error {
	s.loaded, s.read, s.newest, s.faults, s.broken = s.loaded[:0], 0, time.Time{}, map[string]int64{}, 0
	if _, err := s.conn.Exec(ctx, clearTemporary); err != nil {
		return fmt.Errorf("clear temporary tables: %w", err)
	}
	return nil
}
