// Package postgres opens the database, migrates its schema, gives every statement a deadline, classifies errors and writes rows by
// COPY. It owns no table.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/schema"
)

// usualPoolSize is the number of connections that a pool opens at most, if need be. pgx's own is 4 on a small machine: with a
// server 2 ms away, 200 decisions a second and those who wait for them need more.
const usualPoolSize = 16

// Open returns a pool whose connections have time-outs for dead peers, idle transactions and locks, and whose statements have
// a deadline each, whatever their context (deadline.go). It connects lazily, so an unavailable database is not an error here.
func Open(ctx context.Context, settings config.Postgres, application string) (*pgxpool.Pool, error) {
	parsed, err := pgxpool.ParseConfig(string(settings.DatabaseURL))
	if err != nil {
		return nil, fmt.Errorf("--database-url is not a PostgreSQL URL: %w", redact(err))
	}
	switch {
	case settings.DatabasePoolSize > 0:
		parsed.MaxConns = int32(settings.DatabasePoolSize)
	case !strings.Contains(string(settings.DatabaseURL), "pool_max_conns"):
		parsed.MaxConns = max(parsed.MaxConns, usualPoolSize)
	}
	setDefaults(parsed.ConnConfig.RuntimeParams, map[string]string{
		"application_name":                    application,
		"timezone":                            "UTC",
		"idle_in_transaction_session_timeout": "15s",
		"lock_timeout":                        "10s",
		"statement_timeout":                   "60s",
		"tcp_user_timeout":                    "15s",
		"jit":                                 "off", // JIT compilation takes longer than any of our statements
	})
	parsed.ConnConfig.ConnectTimeout = connectLimit
	parsed.PingTimeout = pingLimit
	bound(parsed.ConnConfig)
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

// redact removes the URL and its password from a parse error.
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

// Migrate brings the schema up to date. Concurrent migrations wait for each other.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := Patient(ctx)
	defer cancel()
	provider, err := migrations(pool)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}

// Pending reports whether the database lacks migrations of this binary.
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

// Class says how to handle a database error.
type Class int

// The classes. Every error is transient unless proven otherwise.
const (
	Transient Class = iota // wait and retry
	Timeout                // a time-out: retry with less work
	Conflict               // a deadlock or serialization failure: retry at once
	Permanent              // this data will never be accepted
	Halt                   // the schema, the privileges or the code are wrong: halt until an operator fixes it
)

// Passes reports whether the same work may succeed if it is retried.
func (c Class) Passes() bool { return c == Transient || c == Timeout || c == Conflict }

// Classify returns the class of err. A CHECK violation is permanent if the constraint is one of ours, by name.
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
	case pg.Code == "23505" && strings.HasPrefix(pg.ConstraintName, "processed_effects_"): // another partition claimed the effect first
		return Conflict
	case pg.Code == "25006" || pg.Code == "25P03": // read-only, as after a failover or when the disk is full; or a session ended for being idle
		return Transient
	case strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "54"): // data, and limits of the server that it exceeds
		return Permanent
	case pg.Code == "23514" && pg.ConstraintName != "positions_ledger" && pg.ConstraintName != "":
		return Permanent // without a name, no partition accepts the row: a missing table, not bad data
	}
	switch pg.Code[:2] {
	case "42", "25", "28", "3D", "23", "XX":
		return Halt
	}
	return Transient
}
