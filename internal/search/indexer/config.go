package indexer

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/internal/search/elastic"
)

// Config is what the indexer needs.
type Config struct {
	// Pool is the migrated database. Required.
	Pool *pgxpool.Pool

	// Client speaks with Elasticsearch. Required.
	Client *elastic.Client

	// Log takes what operators should know. Default: slog.Default().
	Log *slog.Logger

	// Registry holds the metrics. Default: one of its own.
	Registry prometheus.Registerer

	// Now is the clock by which applications grow old. Default: time.Now.
	Now func() time.Time

	// Poll is how often marks are looked for when there are none. Default: 100ms.
	Poll time.Duration

	// BatchMails and BatchBytes bound one bulk, Senders how many are sent at once; together they bound the memory.
	// Default: 1000, 4 MiB and 2.
	BatchMails int
	BatchBytes int
	Senders    int

	// BatchLife is how long after a batch was read it may be sent. It must be far below index.gc_deletes of the index, the
	// time for which Elasticsearch knows the version of a deleted document. Default: 1 minute.
	BatchLife time.Duration
}

// Validate lists what is missing and sets the defaults.
func (c *Config) Validate() error {
	if c.Pool == nil || c.Client == nil {
		return errors.New("indexer: no Pool or no Client")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Poll <= 0 {
		c.Poll = 100 * time.Millisecond
	}
	if c.BatchMails <= 0 {
		c.BatchMails = 1000
	}
	if c.BatchBytes <= 0 {
		c.BatchBytes = 4 << 20
	}
	if c.Senders <= 0 {
		c.Senders = 2
	}
	if c.BatchLife <= 0 {
		c.BatchLife = time.Minute
	}
	return nil
}
