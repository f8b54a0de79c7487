package proposer

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/proposals"
)

// Config is what the proposer needs.
type Config struct {
	// Pool is the migrated database. Required.
	Pool *pgxpool.Pool

	// Chooser lets policies choose. Required.
	Chooser *proposals.Chooser

	// Log is for operators. Default: slog.Default().
	Log *slog.Logger

	// Registry holds the metrics. Default: one of its own.
	Registry prometheus.Registerer

	// Wake is called after a commit that wrote events. It must not block. Default: nothing.
	Wake func()

	// Gate queues what lets a transaction fail with outbox.ErrRestored, as api.Config has it. Default: outbox.RefuseRestored.
	Gate func(b *pgx.Batch, person string)

	// Poll is how often new mail is looked for when there was none. Default: 200ms.
	Poll time.Duration

	// Quiet is how long no late mail of a person must have come before what has come is considered, so that the newest of an import
	// goes first. Default: 5s.
	Quiet time.Duration

	// Workers are how many persons have turns at once, TurnMails how many mails one turn considers at most. Default: 4 and 200.
	Workers   int
	TurnMails int
}

// Validate lists what is missing and sets the defaults.
func (c *Config) Validate() error {
	if c.Pool == nil || c.Chooser == nil {
		return errors.New("proposer: no Pool or no Chooser")
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
		c.Poll = 200 * time.Millisecond
	}
	if c.Quiet <= 0 {
		c.Quiet = 5 * time.Second
	}
	if c.Workers <= 0 {
		c.Workers = 4
	}
	if c.TurnMails <= 0 {
		c.TurnMails = 200
	}
	return nil
}
