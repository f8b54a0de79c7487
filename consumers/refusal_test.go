package consumers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// What a bug leaves half done has no effect, and the record can be redriven once the bug is mended.
func TestPanicLeavesNoTraceAndIsRedriven(t *testing.T) {
	w := grouptest.New(t)
	bad := world.Decision("ann", 1)
	stop := w.Start(w.Weights(grouptest.FailingAt(bad)))
	w.Publish(w.Foreign(world.Decision("ann", 0)), w.Foreign(bad), w.Foreign(world.Decision("ann", 2)))
	w.AwaitWeights()
	if got := w.Weight("ann", "category:promo"); got != 0.4 {
		t.Errorf("weight %v, want 0.4", got)
	}
	if diff := cmp.Diff(map[string]int{"panic": 1}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
	stop()
	w.Start(w.Weights())
	w.RedriveFirst()
	if got := w.Weight("ann", "category:promo"); got != float64(3)/5 {
		t.Errorf("weight %v after the redrive, want 0.6", got)
	}
	if diff := cmp.Diff(world.Ledger{Fetched: 4, Applied: 3, DeadLettered: 1}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

// The time that a producer gives a record is for people: none keeps it from being folded.
func TestRecordTimesOfAllAges(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	var records []*kgo.Record
	for n, at := range []time.Time{time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), time.UnixMilli(0), time.UnixMilli(-1)} {
		good, bad := w.Own(world.Decision("ann", 2*n)), w.Foreign(world.Decision("ann", 2*n+1))
		good.Timestamp, bad.Timestamp, bad.Value = at, at, []byte("junk")
		records = append(records, good, bad)
	}
	for _, record := range records { // one by one, so that each is the last of a batch
		w.Publish(record)
		w.AwaitWeights()
	}
	if diff := cmp.Diff(world.Ledger{Fetched: 6, Applied: 3, DeadLettered: 3}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

// Reading a batch again in halves does not count its bad records again.
func TestBisectingDoesNotTripTheBreaker(t *testing.T) {
	w := grouptest.New(t)
	w.Exec("ALTER TABLE weight_counts ADD CONSTRAINT no_spam CHECK (feature <> 'category:spam')")
	var records []*kgo.Record
	for n := range 1000 {
		record := w.Foreign(world.Decision("ann", n, func(e *events.Event) {
			if n%100 == 7 {
				e.Action.Features = []string{"category:spam"}
			}
		}))
		if n < 30 && n%100 != 7 {
			record.Value = []byte("junk")
		}
		records = append(records, record)
	}
	w.Publish(records...)
	w.Start(w.Weights())
	w.Eventually("all records are read", func() error {
		state := world.Scalar[string](w, "SELECT COALESCE(max(next_offset || ' ' || state || ' ' || halt_reason), '') FROM positions WHERE partition = $1", w.PartitionOf("ann"))
		return world.Want(state == "1000 running ", "%s", state)
	})
	if diff := cmp.Diff(map[string]int{"malformed": 29, "refused": 10}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
	if got := fmt.Sprintf("%.1f", w.Weight("ann", "category:promo")); got != "192.2" {
		t.Errorf("weight %s, want 192.2", got)
	}
}
