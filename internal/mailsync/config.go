package mailsync

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/outbox"
)

// Config is what watching accounts needs.
type Config struct {
	// Pool is the migrated database, Conn the broker, and Connector signs in. Required.
	Pool      *pgxpool.Pool
	Conn      *broker.Conn
	Connector *accounts.Connector

	// Holder names this process in leases. Required, and of this process alone.
	Holder string

	// Log is for operators. Default: slog.Default().
	Log *slog.Logger

	// Registry holds the metrics. Default: one of its own.
	Registry prometheus.Registerer

	// Wake is called after a commit that wrote events. It must not block. Default: nothing.
	Wake func()

	// Gate queues what lets a transaction fail with outbox.ErrRestored, as api.Config has it. Default: outbox.RefuseRestored.
	Gate func(b *pgx.Batch, person string)

	// Poll is how often folders that are not open are looked at, and all of them on a server without IDLE. Default: 1 min.
	Poll time.Duration

	// Lease is how long a lease lasts that is not renewed. Default: accounts.LeaseTime, which is the most.
	Lease time.Duration

	// Most is how many accounts this process watches at most, AtOnce how many of them read mail or sign in at a time. Default: 4000 and 6.
	Most   int
	AtOnce int

	// Backoff is the wait after a first failure; it doubles with each, up to 64 times that. Default: 5 s.
	Backoff time.Duration
}

// Validate lists what is missing and sets the defaults.
func (c *Config) Validate() error {
	if c.Pool == nil || c.Conn == nil || c.Connector == nil || c.Holder == "" {
		return errors.New("mailsync: no Pool, no Conn, no Connector or no Holder")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Wake == nil {
		c.Wake = func() {}
	}
	if c.Gate == nil {
		c.Gate = outbox.RefuseRestored
	}
	if c.Poll <= 0 {
		c.Poll = time.Minute
	}
	if c.Lease <= 0 || c.Lease > accounts.LeaseTime {
		c.Lease = accounts.LeaseTime
	}
	if c.Most <= 0 {
		c.Most = 4000
	}
	if c.AtOnce <= 0 {
		c.AtOnce = 6
	}
	if c.Backoff <= 0 {
		c.Backoff = 5 * time.Second
	}
	return nil
}
