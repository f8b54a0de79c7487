package consumers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
)

// failing is a batch whose Add does half of its work and then panics.
type failing struct {
	consumers.Batch
	at events.UUID
}

func (f *failing) Add(e *events.Event) {
	f.Batch.Add(e)
	if e.Action.ActionID == f.at {
		panic("a bug")
	}
}

// failingAt returns the group with a bug that the event meets.
func failingAt(e *events.Event) func(*consumers.Config) {
	return func(c *consumers.Config) {
		mended, group := c.Group.NewBatch, *c.Group
		group.NewBatch = func() consumers.Batch { return &failing{mended(), e.Action.ActionID} }
		c.Group = &group
	}
}

// What a bug leaves half done has no effect, and the record can be redriven once the bug is mended.
func TestPanicLeavesNoTraceAndIsRedriven(t *testing.T) {
	w := newWorld(t)
	bad := decision("ann", 1)
	stop := w.start(w.weights(failingAt(bad)))
	w.publish(w.foreign(decision("ann", 0)), w.foreign(bad), w.foreign(decision("ann", 2)))
	w.folded("weights", events.TopicActions)
	if got := w.weight("ann", "category:promo"); got != 0.4 {
		t.Errorf("weight %v, want 0.4", got)
	}
	if diff := cmp.Diff(map[string]int{"panic": 1}, w.deadReasons("weights")); diff != "" {
		t.Error(diff)
	}
	stop()
	w.start(w.weights())
	letters, err := consumers.ListDeadLetters(t.Context(), w.pool, consumers.DeadLetterFilter{Group: "weights", Limit: 10})
	must(t, err)
	must(t, consumers.Redrive(t.Context(), w.pool, w.conn, letters[0].ID, "tester", false))
	w.relayOutbox()
	w.folded("weights", events.TopicActions)
	if got := w.weight("ann", "category:promo"); got != float64(3)/5 {
		t.Errorf("weight %v after the redrive, want 0.6", got)
	}
	if diff := cmp.Diff(ledger{Fetched: 4, Applied: 3, DeadLettered: 1}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

// The time that a producer gives a record is for people: none keeps it from being folded.
func TestRecordTimesOfAllAges(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	var records []*kgo.Record
	for n, at := range []time.Time{time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), time.UnixMilli(0), time.UnixMilli(-1)} {
		good, bad := w.own(decision("ann", 2*n)), w.foreign(decision("ann", 2*n+1))
		good.Timestamp, bad.Timestamp, bad.Value = at, at, []byte("junk")
		records = append(records, good, bad)
	}
	for _, record := range records { // one by one, so that each is the last of a batch
		w.publish(record)
		w.folded("weights", events.TopicActions)
	}
	if diff := cmp.Diff(ledger{Fetched: 6, Applied: 3, DeadLettered: 3}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

// Reading a batch again in halves does not count its bad records again.
func TestBisectingDoesNotTripTheBreaker(t *testing.T) {
	w := newWorld(t)
	_, err := w.pool.Exec(t.Context(), "ALTER TABLE weight_counts ADD CONSTRAINT no_spam CHECK (feature <> 'category:spam')")
	must(t, err)
	var records []*kgo.Record
	for n := range 1000 {
		record := w.foreign(decision("ann", n, func(e *events.Event) {
			if n%100 == 7 {
				e.Action.Features = []string{"category:spam"}
			}
		}))
		if n < 30 && n%100 != 7 {
			record.Value = []byte("junk")
		}
		records = append(records, record)
	}
	w.publish(records...)
	w.start(w.weights())
	w.wait("all records or a halt", func() (bool, string) {
		var state string
		must(t, w.pool.QueryRow(t.Context(), "SELECT COALESCE(max(next_offset || ' ' || state || ' ' || halt_reason), '') FROM positions WHERE partition = $1", partitionOf("ann")).Scan(&state))
		return state == "1000 running ", state
	})
	if diff := cmp.Diff(map[string]int{"malformed": 29, "refused": 10}, w.deadReasons("weights")); diff != "" {
		t.Error(diff)
	}
	if got := fmt.Sprintf("%.1f", w.weight("ann", "category:promo")); got != "192.2" {
		t.Errorf("weight %s, want 192.2", got)
	}
}
