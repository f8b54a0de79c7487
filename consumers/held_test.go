package consumers_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// What the database refuses has no effect that a later event could be in conflict with, in batches of any size.
func TestNothingIsInConflictWithARefusedEvent(t *testing.T) {
	for _, most := range []int{1, 1000} {
		w := grouptest.New(t)
		w.Exec("ALTER TABLE weight_counts ADD CONSTRAINT no_spam CHECK (feature <> 'category:spam')")
		w.Publish(w.Foreign(world.Decision("ann", 1, world.Features("category:spam"))), w.Foreign(world.Decision("ann", 1)),
			w.Foreign(world.Decision("ann", 1, world.Features("category:social"))), w.Foreign(world.Decision("ann", 1)))
		w.Start(w.Weights(func(c *consumers.Config) { c.BatchRecords = most }))
		w.AwaitWeights()
		if diff := cmp.Diff(map[string]int{"refused": 1, "conflict": 1}, w.DeadLetters("weights")); diff != "" {
			t.Errorf("batches of %d: %s", most, diff)
		}
		if diff := cmp.Diff(world.Ledger{Fetched: 4, Applied: 1, Repeated: 1, DeadLettered: 2}, w.Ledger("weights")); diff != "" {
			t.Errorf("batches of %d: %s", most, diff)
		}
		if got := w.Weight("ann", "category:promo"); got != 0.2 {
			t.Errorf("batches of %d: weight %v, want 0.2", most, got)
		}
	}
}

// small is a batch that the database refuses when it holds more than one event.
type small struct {
	consumers.Batch
	events    int
	committed func()
}

func (s *small) Add(e *events.Event) { s.events++; s.Batch.Add(e) }
func (s *small) Reset()              { s.events = 0; s.Batch.Reset() }
func (s *small) Committed()          { s.committed() }

func (s *small) Write(ctx context.Context, tx *postgres.Tx, version consumers.Version) error {
	if s.events > 1 {
		return &pgconn.PgError{Code: "22000"}
	}
	return s.Batch.Write(ctx, tx, version)
}

// Whoever is to end does not write the rest of a batch in a thousand transactions first.
func TestPartlyWrittenBatchEndsWithItsContext(t *testing.T) {
	w := grouptest.New(t)
	var records []*kgo.Record
	for n := range 100 {
		records = append(records, w.Foreign(world.Decision("ann", n)))
	}
	w.Publish(records...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.Must(consumers.Run(ctx, w.Weights(func(c *consumers.Config) {
		whole, group := c.Group.NewBatch, *c.Group
		group.NewBatch = func() consumers.Batch { return &small{Batch: whole(), committed: cancel} }
		c.Group = &group
	})))
	if diff := cmp.Diff(world.Ledger{Fetched: 1, Applied: 1}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	w.Start(w.Weights())
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 100, Applied: 100}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

// A batch whose COMMIT takes too long is halved as well, once it is known not to have landed.
func TestSlowCommitIsHalved(t *testing.T) {
	for _, own := range []bool{true, false} {
		w := grouptest.New(t)
		w.Exec(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END'`)
		w.Exec("CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE ON weight_counts_1 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()")
		var records []*kgo.Record
		for n, user := range w.UsersOf(1, 60) {
			e := world.Decision(user, n)
			if own {
				records = append(records, w.Own(e))
			} else {
				records = append(records, w.Foreign(e))
			}
		}
		w.Publish(records...)
		w.Start(w.Weights(func(c *consumers.Config) { c.BatchDeadline = 500 * time.Millisecond }))
		w.AwaitWeights()
		if diff := cmp.Diff(world.Ledger{Fetched: 60, Applied: 60}, w.Ledger("weights")); diff != "" {
			t.Errorf("own %t: %s", own, diff)
		}
	}
}

// A redriven record that is read with the erasure of its person, and behind it, brings nobody back either.
func TestRedrivenRecordBehindAnErasureInOneBatch(t *testing.T) {
	w := grouptest.New(t)
	stop := w.Start(w.Weights())
	w.Publish(w.Foreign(world.Decision("ann", 1)), w.Foreign(world.Decision("ann", 1, world.Features("category:spam"))))
	w.AwaitWeights()
	stop()
	letters, err := ledger.DeadLetters(t.Context(), w.Pool, ledger.LetterFilter{Group: "weights", Limit: 10})
	w.Must(err)
	if len(letters) != 1 {
		t.Fatalf("dead letters %+v, want one", letters)
	}
	w.Must(operate.Redrive(t.Context(), w.Pool, w.Conn, letters[0].ID, "tester", true))
	w.Publish(w.Foreign(erased("ann", 1)))
	w.RelayOutbox()
	w.Start(w.Weights())
	w.AwaitWeights()
	if rows := rowsOf(w, "ann"); len(rows) != 0 {
		t.Errorf("ann is back in versions %v", rows)
	}
}

// A partition that is halted has nothing to be waited for either.
func TestHaltedPartitionDoesNotDelayOthers(t *testing.T) {
	w := grouptest.New(t)
	stop := w.Start(w.Weights())
	halted, other := w.UsersOf(0, 1)[0], w.UsersOf(1, 1)[0]
	w.Own(world.Decision(halted, 0)) // not published
	w.Publish(w.Own(world.Decision(halted, 1)))
	w.AwaitHalt(ledger.ReasonSequence)
	stop()
	w.Start(w.Weights(func(c *consumers.Config) { c.Workers, c.BatchLinger = 1, time.Hour }))
	w.Publish(w.Own(world.Decision(other, 0)))
	w.Eventually("the other partition is folded", func() error {
		got := w.Weight(other, "category:promo")
		return world.Want(got == 0.2, "weight %v", got)
	})
}

// counting is a batch that counts what is added to it, and that the database refuses with one event.
type counting struct {
	consumers.Batch
	bad   events.UUID
	holds bool
	adds  *atomic.Int64
}

func (c *counting) Reset() { c.holds = false; c.Batch.Reset() }

func (c *counting) Add(e *events.Event) {
	c.adds.Add(1)
	c.holds = c.holds || e.Action.ActionID == c.bad
	c.Batch.Add(e)
}

func (c *counting) Write(ctx context.Context, tx *postgres.Tx, version consumers.Version) error {
	if c.holds {
		return &pgconn.PgError{Code: "22000"}
	}
	return c.Batch.Write(ctx, tx, version)
}

// A large batch of our own with a refused event is read once more, and not once for each of the small ones that are held.
func TestRefusedEventOfALargeBatchIsFound(t *testing.T) {
	const count = 3000
	w := grouptest.New(t)
	var records []*kgo.Record
	for n := range count {
		records = append(records, w.Own(world.Decision("ann", n)))
	}
	w.Publish(records...)
	var adds atomic.Int64
	w.Start(w.Weights(func(c *consumers.Config) {
		whole, group := c.Group.NewBatch, *c.Group
		group.NewBatch = func() consumers.Batch {
			return &counting{Batch: whole(), bad: world.Decision("ann", count-10).Action.ActionID, adds: &adds}
		}
		c.Group, c.BatchBytes, c.BatchLinger = &group, 128<<10, 2*time.Second
	}))
	w.AwaitWeights()
	if diff := cmp.Diff(map[string]int{"refused": 1}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
	if got := adds.Load(); got > 3*count {
		t.Errorf("%d events were folded, for a log of %d", got, count)
	}
}
