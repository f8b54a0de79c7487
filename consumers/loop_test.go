package consumers_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
)

func TestDecisionsAreFolded(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	var records []*kgo.Record
	for user := range 20 {
		for n := range 10 {
			records = append(records, w.own(decision(fmt.Sprint("user-", user), n)))
		}
		records = append(records, w.own(decision(fmt.Sprint("user-", user), 10, rejected)))
	}
	w.publish(records...)
	w.folded("weights", events.TopicActions)
	for user := range 20 {
		if got := w.weight(fmt.Sprint("user-", user), "category:promo"); math.Abs(got-1.8) > 1e-12 {
			t.Errorf("user %d has weight %v, want 1.8", user, got)
		}
	}
	if diff := cmp.Diff(ledger{Fetched: 220, Applied: 220}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestRepeats(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	own := w.own(decision("ann", 1))
	foreign := w.foreign(decision("ben", 1))
	changed := w.foreign(decision("ben", 1, rejected))
	changedContent := w.foreign(decision("ben", 1, func(e *events.Event) { e.Action.Features = []string{"category:spam"} }))
	w.publish(own, foreign)
	w.folded("weights", events.TopicActions)
	w.publish(own, foreign, changedContent, foreign, changed, own)
	w.folded("weights", events.TopicActions)
	if got := w.weight("ann", "category:promo"); got != 0.2 {
		t.Errorf("a stamped repeat changed the weight to %v", got)
	}
	if got := w.weight("ben", "category:promo"); got != 0 { // +1 and, being another decision, -1
		t.Errorf("foreign repeats changed the weight to %v", got)
	}
	if diff := cmp.Diff(ledger{Fetched: 8, Applied: 3, Repeated: 4, DeadLettered: 1}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"conflict": 1}, w.deadReasons("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestBadRecordsBecomeDeadLetters(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	good := w.own(decision("ann", 1))
	broken := w.foreign(decision("ann", 2))
	broken.Value = []byte(`{"action_id":`)
	headless := w.foreign(decision("ann", 3))
	headless.Headers = nil
	pretender := w.encode(decision("ann", 4, func(e *events.Event) { e.Source = w.source }))
	stranger := stamp(w.encode(decision("ann", 5, func(e *events.Event) { e.Source = w.source })), events.DeriveUUID("nobody's"), 1)
	wrongKey := w.foreign(decision("ann", 6))
	wrongKey.Key = []byte("bob")
	wrongPartition := w.foreign(decision("ann", 7))
	wrongPartition.Partition = (wrongPartition.Partition + 1) % partitions
	tooEarly := w.foreign(decision("ann", 8))
	tooEarly.Value = replace(tooEarly.Value, `"proposed_at":"2026-11-01T12:00:00Z"`, `"proposed_at":"1970-01-01T00:00:00Z"`)
	nul := w.foreign(decision("ann", 9))
	nul.Value = replace(nul.Value, `category:promo`, `category:\u0000`)
	w.publish(good, broken, headless, pretender, stranger, wrongKey, wrongPartition, tooEarly, nul, w.own(decision("ann", 10)))
	w.folded("weights", events.TopicActions)
	if got := w.weight("ann", "category:promo"); got != 0.4 {
		t.Errorf("the good records give %v, want 0.4", got)
	}
	want := map[string]int{"malformed": 2, "envelope": 1, "source": 2, "key": 2, "bad_time": 1}
	if diff := cmp.Diff(want, w.deadReasons("weights")); diff != "" {
		t.Errorf("%s\n%s", diff, w.logs.String())
	}
	var value, key []byte
	must(t, w.pool.QueryRow(t.Context(), "SELECT key, value FROM dead_letters WHERE reason = 'malformed' ORDER BY log_offset LIMIT 1").Scan(&key, &value))
	if string(value) != `{"action_id":` || string(key) != "ann" {
		t.Errorf("the dead letter keeps %q and %q", key, value)
	}
}

func replace(value []byte, old, with string) []byte {
	return []byte(strings.Replace(string(value), old, with, 1))
}

func TestDeadLetterStormHalts(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	var records []*kgo.Record
	for n := range 200 {
		bad := w.foreign(decision("ann", n))
		bad.Value = []byte("junk")
		records = append(records, bad)
	}
	w.publish(records...)
	w.haltedFor("weights", consumers.HaltDeadLetters)
	if got := w.ledger("weights").DeadLettered; got != 50 {
		t.Errorf("%d dead letters before the halt, want 50", got)
	}
}

func TestUnknownTypeHalts(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	future := w.foreign(decision("ann", 1))
	for i := range future.Headers {
		if future.Headers[i].Key == events.HeaderType {
			future.Headers[i].Value = []byte("applylens.action.approved.v2")
		}
	}
	alien := w.foreign(decision("ann", 2))
	for i := range alien.Headers {
		if alien.Headers[i].Key == events.HeaderType {
			alien.Headers[i].Value = []byte("com.example.thing.v1")
		}
	}
	w.publish(alien, w.own(decision("ann", 3)), future, w.own(decision("ann", 4)))
	w.haltedFor("weights", consumers.HaltUnknownType)
	if diff := cmp.Diff(ledger{Fetched: 2, Applied: 2}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestMissingNumberHalts(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	first, _, third := w.own(decision("ann", 1)), w.own(decision("ann", 2)), w.own(decision("ann", 3))
	w.publish(first, third)
	w.haltedFor("weights", consumers.HaltSequence)
	if got := w.weight("ann", "category:promo"); got != 0.2 {
		t.Errorf("weight %v, want 0.2", got)
	}
}

// A decision must be visible at once although other partitions are empty: nothing may linger for them.
func TestEmptyPartitionsDoNotDelay(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights(func(c *consumers.Config) { c.BatchLinger = time.Hour }))
	for n := range 5 {
		w.publish(w.own(decision("ann", n)))
		w.folded("weights", events.TopicActions)
	}
}

// After a restore from a backup the log holds terms that the database has lost: they wait for the relay, which puts
// them back, and are no dead letters.
func TestUnknownTermsWaitWhileTheDatabaseIsBehind(t *testing.T) {
	w := newWorld(t)
	_, err := w.pool.Exec(t.Context(), "UPDATE deployment SET system_identifier = 1, timeline_id = 1") // another server's
	must(t, err)
	_, err = w.pool.Exec(t.Context(), "DELETE FROM relays")
	must(t, err)
	w.publish(w.own(decision("ann", 0)))
	w.start(w.weights())
	w.wait("the group to meet the term", func() (bool, string) {
		return strings.Contains(w.logs.String(), "restored from a backup"), ""
	})
	_, err = w.pool.Exec(t.Context(), "INSERT INTO relays (relay_id) VALUES ($1)", w.relay)
	must(t, err)
	w.folded("weights", events.TopicActions)
	if diff := cmp.Diff(ledger{Fetched: 1, Applied: 1}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
}
