package consumers_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/ledger"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestDecisionsAreFolded(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	var records []*kgo.Record
	for user := range 20 {
		for n := range 10 {
			records = append(records, w.Own(world.Decision(fmt.Sprint("user-", user), n)))
		}
		records = append(records, w.Own(world.Decision(fmt.Sprint("user-", user), 10, world.Rejected)))
	}
	w.Publish(records...)
	w.AwaitWeights()
	for user := range 20 {
		if got := w.Weight(fmt.Sprint("user-", user), "category:promo"); math.Abs(got-1.8) > 1e-12 {
			t.Errorf("user %d has weight %v, want 1.8", user, got)
		}
	}
	if diff := cmp.Diff(world.Ledger{Fetched: 220, Applied: 220}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestRepeats(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	own := w.Own(world.Decision("ann", 1))
	foreign := w.Foreign(world.Decision("ben", 1))
	changed := w.Foreign(world.Decision("ben", 1, world.Rejected))
	changedContent := w.Foreign(world.Decision("ben", 1, world.Features("category:spam")))
	w.Publish(own, foreign)
	w.AwaitWeights()
	w.Publish(own, foreign, changedContent, foreign, changed, own)
	w.AwaitWeights()
	if got := w.Weight("ann", "category:promo"); got != 0.2 {
		t.Errorf("a stamped repeat changed the weight to %v", got)
	}
	if got := w.Weight("ben", "category:promo"); got != 0 { // +1 and, being another decision, -1
		t.Errorf("foreign repeats changed the weight to %v", got)
	}
	if diff := cmp.Diff(world.Ledger{Fetched: 8, Applied: 3, Repeated: 4, DeadLettered: 1}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"conflict": 1}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestBadRecordsBecomeDeadLetters(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	good := w.Own(world.Decision("ann", 1))
	broken := w.Foreign(world.Decision("ann", 2))
	broken.Value = []byte(`{"action_id":`)
	headless := w.Foreign(world.Decision("ann", 3))
	headless.Headers = nil
	pretender := unstamped(w, "ann", 4)
	stranger := world.Stamp(unstamped(w, "ann", 5), events.DeriveUUID("nobody's"), 1)
	wrongKey := w.Foreign(world.Decision("ann", 6))
	wrongKey.Key = []byte("bob")
	wrongPartition := w.Foreign(world.Decision("ann", 7))
	wrongPartition.Partition = (wrongPartition.Partition + 1) % int32(w.Partitions)
	tooEarly := w.Foreign(world.Decision("ann", 8))
	tooEarly.Value = replace(tooEarly.Value, `"proposed_at":"2026-11-01T12:00:00Z"`, `"proposed_at":"1970-01-01T00:00:00Z"`)
	nul := w.Foreign(world.Decision("ann", 9))
	nul.Value = replace(nul.Value, `category:promo`, `category:\u0000`)
	w.Publish(good, broken, headless, pretender, stranger, wrongKey, wrongPartition, tooEarly, nul, w.Own(world.Decision("ann", 10)))
	w.AwaitWeights()
	if got := w.Weight("ann", "category:promo"); got != 0.4 {
		t.Errorf("the good records give %v, want 0.4", got)
	}
	want := map[string]int{"malformed": 2, "envelope": 1, "source": 2, "key": 2, "bad_time": 1}
	if diff := cmp.Diff(want, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
	var value, key []byte
	w.Must(w.Pool.QueryRow(t.Context(), "SELECT key, value FROM dead_letters WHERE reason = 'malformed' ORDER BY log_offset LIMIT 1").Scan(&key, &value))
	if string(value) != `{"action_id":` || string(key) != "ann" {
		t.Errorf("the dead letter keeps %q and %q", key, value)
	}
}

func replace(value []byte, old, with string) []byte {
	return []byte(strings.Replace(string(value), old, with, 1))
}

// unstamped returns the n-th decision of a person with our source, as anybody can write it.
func unstamped(w *grouptest.Loop, user string, n int) *kgo.Record {
	return w.Record(world.Decision(user, n, func(e *events.Event) { e.Source = w.Source }))
}

// ourJunk returns a record of our relay that cannot be decoded.
func ourJunk(w *grouptest.Loop, user string, n int) *kgo.Record {
	junk := unstamped(w, user, n)
	junk.Value = []byte("junk")
	return w.Next(junk)
}

func TestDeadLetterStormHalts(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	var records []*kgo.Record
	for n := range 200 {
		records = append(records, ourJunk(w, "ann", n))
	}
	w.Publish(records...)
	w.AwaitHalt(ledger.ReasonDeadLetters)
	if got := w.Ledger("weights").DeadLettered; got != 50 {
		t.Errorf("%d dead letters before the halt, want 50", got)
	}
}

// ofType gives a record another type.
func ofType(r *kgo.Record, name string) *kgo.Record {
	for i := range r.Headers {
		if r.Headers[i].Key == events.HeaderType {
			r.Headers[i].Value = []byte(name)
		}
	}
	return r
}

// ourNext returns a record of our relay that has another type than decision n.
func ourNext(w *grouptest.Loop, n int, name string) *kgo.Record {
	return w.Next(ofType(unstamped(w, "ann", n), name))
}

func TestUnknownTypeOfOursHalts(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	alien := ofType(w.Foreign(world.Decision("ann", 2)), "com.example.thing.v1")
	w.Publish(alien, w.Own(world.Decision("ann", 3)), ourNext(w, 1, "applylens.action.approved.v2"), w.Own(world.Decision("ann", 4)))
	w.AwaitHalt(ledger.ReasonUnknownType)
	if diff := cmp.Diff(world.Ledger{Fetched: 2, Applied: 2}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

// Nobody but our relay can halt a partition.
func TestUnknownTypeOfOthersIsADeadLetter(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	future := ofType(w.Foreign(world.Decision("ann", 1)), "applylens.action.approved.v2")
	w.Publish(w.Own(world.Decision("ann", 3)), future, w.Own(world.Decision("ann", 4)))
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 3, Applied: 2, DeadLettered: 1}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"unknown_type": 1}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestMissingNumberHalts(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	first, _, third := w.Own(world.Decision("ann", 1)), w.Own(world.Decision("ann", 2)), w.Own(world.Decision("ann", 3))
	w.Publish(first, third)
	w.AwaitHalt(ledger.ReasonSequence)
	if got := w.Weight("ann", "category:promo"); got != 0.2 {
		t.Errorf("weight %v, want 0.2", got)
	}
}

// A decision must be visible at once although other partitions are empty: nothing may linger for them.
func TestEmptyPartitionsDoNotDelay(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights(func(c *consumers.Config) { c.BatchLinger = time.Hour }))
	for n := range 5 {
		w.Publish(w.Own(world.Decision("ann", n)))
		w.AwaitWeights()
	}
}

// After a restore from a backup the log holds terms that the database has lost: they wait for the relay, which puts
// them back, and are no dead letters.
func TestUnknownTermsWaitWhileTheDatabaseIsBehind(t *testing.T) {
	w := grouptest.New(t)
	w.Exec("UPDATE deployment SET system_identifier = 1, timeline_id = 1") // another server's
	termWaits(w)
}

// termWaits loses the relay's term, and checks that its records wait until it is back.
func termWaits(w *grouptest.Loop) {
	w.Helper()
	w.Exec("DELETE FROM relays")
	w.Publish(w.Own(world.Decision("ann", 0)))
	w.Start(w.Weights())
	w.Until("the group meets the term", func() bool { return strings.Contains(w.Logs.String(), "restored from a backup") })
	w.Exec("INSERT INTO relays (relay_id, key_number) VALUES ($1, 1)", w.Relay)
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 1, Applied: 1}, w.Ledger("weights")); diff != "" {
		w.Error(diff)
	}
}
