package relay

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/relaykey"
)

// Config is what a relay needs.
type Config struct {
	// Pool is the migrated database. The relay opens two connections of its own beside it. Required.
	Pool *pgxpool.Pool

	// Conn is the cluster to publish to. Required.
	Conn *broker.Conn

	// Log receives messages for operators. Default: slog.Default().
	Log *slog.Logger

	// Registry gets the metrics. Default: one of its own.
	Registry prometheus.Registerer

	// Signal wakes the relay when this process has committed rows. Default: none; it polls and listens.
	Signal *outbox.Signal

	// Secret is the master secret of the keys that sign what is published. Default: none; the keys are in the database alone.
	Secret []byte

	// Keep is how long published rows stay, to be published again should Kafka lose records. Default: 7 days.
	Keep time.Duration

	// BatchBytes bounds a request to Kafka; the topic's max.message.bytes does too. Default: 900 KiB.
	BatchBytes int

	patience time.Duration // with a row that is refused. Default: refusedFor.
}

// Validate lists what is missing and sets the defaults.
func (c *Config) Validate() error {
	if c.Pool == nil || c.Conn == nil {
		return errors.New("relay: Pool and Conn are required")
	}
	if err := relaykey.CheckSecret(c.Secret); err != nil {
		return err
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Signal == nil {
		c.Signal = outbox.NewSignal()
	}
	if c.Keep <= 0 {
		c.Keep = 7 * 24 * time.Hour
	}
	if c.BatchBytes <= 0 {
		c.BatchBytes = 900 << 10
	}
	if c.patience <= 0 {
		c.patience = refusedFor
	}
	return nil
}

// Intervals and time limits.
const (
	pollEvery      = 200 * time.Millisecond // in case a signal or notification is lost
	noteEvery      = 20 * time.Millisecond  // how long published rows may wait to be noted in the outbox
	lockEvery      = 500 * time.Millisecond // how often a follower tries to take the lock
	layoutEvery    = time.Second
	layoutRetry    = 200 * time.Millisecond // the first pause after Kafka did not answer
	layoutFresh    = 4 * time.Second        // nothing is published by an older layout
	firstRetry     = 50 * time.Millisecond
	lastRetry      = 5 * time.Second
	gaugeEvery     = 2 * time.Second
	pruneEvery     = 5 * time.Minute
	statementLimit = 20 * time.Second
	requestLimit   = 8 * time.Second
	drainLimit     = 5 * time.Second        // of all that is under way when the process is to end
	readWait       = 500 * time.Millisecond // how long a request that reads the log may wait for a record
)

// Limits of memory, batches and requests.
const (
	assignRows     = 4000     // rows sequenced by one transaction
	assignBytes    = 8 << 20  // and their size
	queueRows      = 8000     // rows of one partition that wait in memory
	queueBytes     = 16 << 20 // and their size
	batchRows      = 5000     // records in one request
	readBytes      = 4 << 20  // of one request that reads the log
	entryBytes     = 16 << 20 // of the values that are kept of its answer, uncompressed
	smallestLimit  = 1 << 10
	topicOverheads = 8 << 10 // what max.message.bytes must leave for the batch itself
)
