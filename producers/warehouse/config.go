package warehouse

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Config has the settings of syncs.
type Config struct {
	// Pool is the migrated database. A sync also opens a connection of its own. Required.
	Pool *pgxpool.Pool

	// Log is the operators' log. Default: slog.Default().
	Log *slog.Logger

	// Now is the clock from which src_version is derived. Default: time.Now.
	Now func() time.Time

	// Wake tells the relay about a commit. Default: none; the relay polls.
	Wake func()

	// Name identifies the source across restarts, if its own name changes, as that of an export with the date in it.
	// Default: the source's name.
	Name string

	// Guard defines how much may change at once.
	Guard Guard

	// Overlap is how far before the cursor a partial read begins: while the warehouse is loading, rows become visible
	// later than their synced_at. Default: 6h.
	Overlap time.Duration

	// FoldWait is how long a sync waits for the group enrichment, to count the mails affected. Default: 0, no wait.
	FoldWait time.Duration

	// Metrics are updated after each commit. Default: not served.
	Metrics *Metrics

	// Progress receives the progress of reads. Default: none.
	Progress Progress
}

// Progress receives the progress of a sync, from one goroutine at a time. The total is 0 if unknown.
type Progress interface {
	Update(done, total int64)
}

// Validate lists every fault and sets the defaults.
func (c *Config) Validate() error {
	if c.Pool == nil {
		return errors.New("warehouse: Pool is required")
	}
	if c.Overlap < 0 || c.FoldWait < 0 {
		return errors.New("warehouse: Overlap and FoldWait must not be negative")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Wake == nil {
		c.Wake = func() {}
	}
	if c.Overlap == 0 {
		c.Overlap = 6 * time.Hour
	}
	if c.Metrics == nil {
		c.Metrics = newMetrics()
	}
	if c.Progress == nil {
		c.Progress = noProgress{}
	}
	return c.Guard.validate()
}

// nameOf returns the name that identifies a source.
func (c *Config) nameOf(source interface{ Name() string }) string {
	return cmp.Or(c.Name, source.Name())
}

type noProgress struct{}

func (noProgress) Update(int64, int64) {}

// The sizes and times of a sync.
const (
	chunkRows    = 2000 // rows copied at once, and differences committed at once
	lockEvery    = 200 * time.Millisecond
	lockPatience = 30 * time.Second
	foldEvery    = 100 * time.Millisecond
	foldLimit    = 30 * time.Second // of the statement that counts mails
	endLimit     = 5 * time.Second  // of the statements that record the outcome of a sync
	mostReports  = 20               // rows per sync whose faults are logged individually
	mostStages   = 50               // stages that a summary lists
)

// Acceptance makes one sync pass, whatever the guard finds. Systems of other sources are taken over only from those named.
type Acceptance struct {
	Actor, Reason string
	TakeOver      []string
}
