package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/broker"
)

// Config tells how a group is run. Broker, Pool, Log and Metrics are shared by the groups of a process.
type Config struct {
	Group   *Group
	Broker  *broker.Conn
	Pool    *pgxpool.Pool
	Log     *slog.Logger
	Metrics *Metrics
	Owner   string // for people: which process holds a position

	SessionTimeout time.Duration // Default: 10 s. After this long without a heartbeat a process has left the group.
	Workers        int           // Default: 2. Transactions under way at once.
	BatchRecords   int           // Default: 50,000. Most records in a transaction.
	BatchBytes     int           // Default: 12 MiB. Roughly the most memory that a batch takes.
	BatchLinger    time.Duration // Default: 200 ms. How long a batch is filled while the log has more.
	BatchDeadline  time.Duration // Default: 30 s. How long one transaction may take before it is tried again.
	FetchBytes     int           // Default: 512 KiB. Most bytes of one fetch.
	// DeadLetterLimit is how many of 1,000 records of a source may be dead-lettered in a partition before the source is set aside
	// there; if they are of our own relay, the partition halts. Default: 50.
	DeadLetterLimit int
	// AllowedSources are the ce_sources from which unstamped events are accepted. Default: all.
	AllowedSources []string

	process context.Context // of Run or Fold: ends when the process is to end, not only a generation
}

// Validate lists every fault and fills in the defaults.
func (c *Config) Validate() error {
	var faults []error
	if c.Group == nil || c.Broker == nil || c.Pool == nil || c.Log == nil || c.Metrics == nil {
		faults = append(faults, errors.New("consumers: Group, Broker, Pool, Log and Metrics are required"))
	}
	defaultTo(&c.SessionTimeout, 10*time.Second)
	defaultTo(&c.Workers, 2)
	defaultTo(&c.BatchRecords, 50_000)
	defaultTo(&c.BatchBytes, 12<<20)
	defaultTo(&c.BatchLinger, 200*time.Millisecond)
	defaultTo(&c.BatchDeadline, 30*time.Second)
	defaultTo(&c.FetchBytes, 512<<10)
	defaultTo(&c.DeadLetterLimit, 50)
	if c.SessionTimeout < time.Second {
		faults = append(faults, fmt.Errorf("--session-timeout: %s is below 1s", c.SessionTimeout))
	}
	if c.Workers < 1 || c.BatchRecords < 1 || c.FetchBytes < 1024 {
		faults = append(faults, errors.New("consumers: Workers and BatchRecords must be positive, FetchBytes at least 1024"))
	}
	return errors.Join(faults...)
}

func defaultTo[T comparable](value *T, fallback T) {
	var zero T
	if *value == zero {
		*value = fallback
	}
}
