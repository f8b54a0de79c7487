// Package postgres opens the database, brings its schema up to date, tells kinds of errors apart and copies rows by the
// thousand. It owns no table.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/schema"
)

// Open prepares a pool whose connections give up on a dead peer, an idle transaction and a lock in bounded time. It
// connects lazily: a database that is down is no error here.
func Open(ctx context.Context, settings config.Postgres, application string) (*pgxpool.Pool, error) {
	parsed, err := pgxpool.ParseConfig(string(settings.DatabaseURL))
	if err != nil {
		return nil, fmt.Errorf("--database-url is not a PostgreSQL URL: %w", redact(err))
	}
	if settings.DatabasePoolSize > 0 {
		parsed.MaxConns = int32(settings.DatabasePoolSize)
	}
	setDefaults(parsed.ConnConfig.RuntimeParams, map[string]string{
		"application_name":                    application,
		"timezone":                            "UTC",
		"idle_in_transaction_session_timeout": "15s",
		"lock_timeout":                        "10s",
		"statement_timeout":                   "60s",
		"tcp_user_timeout":                    "15s",
		"jit":                                 "off", // compiling takes longer than any of our statements
	})
	parsed.ConnConfig.ConnectTimeout = 5 * time.Second
	pool, err := pgxpool.NewWithConfig(ctx, parsed)
	if err != nil {
		return nil, fmt.Errorf("prepare PostgreSQL pool: %w", redact(err))
	}
	return pool, nil
}

func setDefaults(params, defaults map[string]string) {
	for name, value := range defaults {
		if _, set := params[name]; !set {
			params[name] = value
		}
	}
}

// redact drops the part of a parse error that repeats the URL with its password.
func redact(err error) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		if inner := errors.Unwrap(parse); inner != nil {
			return inner
		}
		return errors.New("it cannot be parsed")
	}
	return err
}

// Migrate brings the schema up to date. Two processes that migrate at once wait for each other.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	provider, err := migrations(pool)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}

// Pending tells whether the database lacks migrations that this binary has.
func Pending(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	provider, err := migrations(pool)
	if err != nil {
		return false, err
	}
	pending, err := provider.HasPending(ctx)
	if err != nil {
		return false, fmt.Errorf("read database version: %w", err)
	}
	return pending, nil
}

func migrations(pool *pgxpool.Pool) (*goose.Provider, error) {
	files, err := fs.Sub(schema.Migrations, "migrations")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, stdlib.OpenDBFromPool(pool), files, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return provider, nil
}

// Class is what an error of the database means for the work that met it.
type Class int

// The classes. Everything that is not proven to be another is transient.
const (
	Transient Class = iota // wait and try again
	Timeout                // it took longer than it may: try again with less
	Conflict               // a deadlock or serialization failure: try again at once
	Permanent              // this data will never be accepted
	Halt                   // the schema, the rights or the code are wrong: stop until somebody looks
)

// Passes tells whether the same work may succeed when it is tried again.
func (c Class) Passes() bool { return c == Transient || c == Timeout || c == Conflict }

// Classify tells what err means. A violated CHECK is permanent when it is one of ours by name.
func Classify(err error) Class {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if errors.Is(err, context.DeadlineExceeded) {
			return Timeout
		}
		return Transient
	}
	switch {
	case pg.Code == "57014": // statement_timeout, or canceled for the deadline of its context
		return Timeout
	case pg.Code == "40P01" || pg.Code == "40001":
		return Conflict
	case pg.Code == "25006" || pg.Code == "25P03": // read-only: a failed-over or full server; and a session that was ended for idling
		return Transient
	case strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "54"): // data, and limits of the server that it exceeds
		return Permanent
	case pg.Code == "23514" && pg.ConstraintName != "positions_ledger" && pg.ConstraintName != "":
		return Permanent // without a name it is a row that no partition takes: a missing table, not bad data
	}
	switch pg.Code[:2] {
	case "42", "25", "28", "3D", "23", "XX":
		return Halt
	}
	return Transient
}
