package warehouse

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Config is what syncs need.
type Config struct {
	// Pool is the migrated database. A sync opens one connection of its own beside it. Required.
	Pool *pgxpool.Pool

	// Log takes what operators should know. Default: slog.Default().
	Log *slog.Logger

	// Now is the clock that numbers changes. Default: time.Now.
	Now func() time.Time

	// Wake tells the relay that something was committed. Default: nobody is told; the relay polls.
	Wake func()

	// Name identifies the source over restarts, when its own name changes: a daily export with the date in its name.
	// Default: the source's.
	Name string

	// Guard tells what is too much at once.
	Guard Guard

	// Overlap is how far before the cursor a partial read begins: rows may become visible later than their synced_at
	// says, by the time that the warehouse takes to load. Default: 6h.
	Overlap time.Duration

	// FoldWait is how long a sync waits for the group enrichment, to count the mails that its changes reach. Default: 0,
	// it does not wait.
	FoldWait time.Duration

	// Metrics are counted after each commit. Default: nobody reads them.
	Metrics *Metrics

	// Progress is told how a read goes on. Default: nobody.
	Progress Progress
}

// Progress is told how a sync goes on, from one goroutine at a time. The total is 0 when it is not known.
type Progress interface {
	Update(done, total int64)
}

// Validate lists what is wrong and sets the defaults.
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

// nameOf returns the name under which a source is known.
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
	endLimit     = 10 * time.Second // of the statements that note how a sync ended
	mostReports  = 20               // rows of a sync whose faults are logged one by one
	mostStages   = 50               // stages that a summary lists
)

// Acceptance lets one sync pass whatever the guard says.
type Acceptance struct{ Actor, Reason string }
