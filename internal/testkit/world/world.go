// Package world has the set-up that the tests of several packages share: a migrated database of the test's own, a broker
// with our topics if the test asks for one, events and records of ours and of others, a clock, and ways to read and to
// wait. It imports nothing of consumers, producers or internal/api, so that their own tests may use it; grouptest adds
// what runs groups.
package world

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// World is a database, and a broker after Kfake, Kafka or Join. Whatever fails ends the test.
type World struct {
	testing.TB
	Label    string        // says which World waits, where a test has several
	Patience time.Duration // of Eventually. Default: 30 s.
	Tick     time.Duration // between two looks of Eventually. Default: 10 ms.

	Pool *pgxpool.Pool
	URL  string // of the database

	Partitions int // of every topic. Default: 3.
	Settings   config.Kafka
	Conn       *broker.Conn
	Cluster    *kfake.Cluster // nil on a real broker
	Producer   *kgo.Client    // whose records go to the partition that they name

	Source string             // of the events that this deployment's relay publishes
	Relay  events.UUID        // the relay's current term; zero before NewRelay
	Seqs   map[int32]int64    // the last relay sequence of each partition in this term
	signer *events.Signer     // of the term's key
	Signal *outbox.Signal     // tells a relay that the outbox has rows
	Logs   *testenv.LogBuffer // shown when the test fails
	Logger *slog.Logger       // writes everything to Logs

	mu    sync.Mutex
	now   time.Time
	looks int
}

// New returns a World with a database on the server of DATABASE_URL. The test skips when the variable is unset.
func New(t testing.TB) *World {
	t.Helper()
	pool, url := testenv.Database(t)
	return with(t, pool, url)
}

// NewOn returns a World with a database on a server that the test started itself.
func NewOn(t testing.TB, server string) *World {
	t.Helper()
	pool, url := testenv.NewDatabase(t, server)
	return with(t, pool, url)
}

func with(t testing.TB, pool *pgxpool.Pool, url string) *World {
	t.Helper()
	w := &World{TB: t, Patience: 30 * time.Second, Tick: 10 * time.Millisecond, Pool: pool, URL: url, Partitions: 3, Signal: outbox.NewSignal(), Logs: &testenv.LogBuffer{}}
	w.Logger = slog.New(slog.NewTextHandler(w.Logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(w.showLogs)
	var err error
	w.Source, err = outbox.Source(t.Context(), pool)
	w.Must(err)
	return w
}

// showLogs tells the end of the log if the test failed.
func (w *World) showLogs() {
	const most = 8000
	text := w.Logs.String()
	if w.Failed() && text != "" {
		w.Logf("log:\n%s", text[max(0, len(text)-most):])
	}
}

// Must ends the test if there is an error.
func (w *World) Must(err error) {
	w.Helper()
	Must(w.TB, err)
}

// Must ends the test if there is an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// self lets functions with type parameters take whatever embeds a World.
func (w *World) self() *World { return w }
