package consumers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// A database that takes longer for a batch than the deadline allows gets smaller ones until it keeps up, with events that
// are folded as they are read and with those that are held.
func TestASlowDatabaseGetsSmallerBatches(t *testing.T) {
	const backlog = 600
	for name, write := range map[string]func(w *grouptest.Loop, n int){
		"own events":     func(w *grouptest.Loop, n int) { w.Publish(w.Own(world.Decision(fmt.Sprint("user-", n), n))) },
		"foreign events": func(w *grouptest.Loop, n int) { w.Publish(w.Foreign(world.Decision(fmt.Sprint("user-", n), n))) },
	} {
		t.Run(name, func(t *testing.T) {
			w := grouptest.New(t)
			for n := range backlog {
				write(w, n)
			}
			w.Exec(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$`)
			w.Exec(`CREATE TRIGGER slow BEFORE INSERT ON weight_counts_1 FOR EACH ROW EXECUTE FUNCTION slow()`)
			w.Start(w.Weights(func(c *consumers.Config) { c.BatchDeadline = 400 * time.Millisecond }))
			w.AwaitWeights()
			if diff := cmp.Diff(world.Ledger{Fetched: backlog, Applied: backlog}, w.Ledger("weights")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A single record that takes longer than the deadline gets more time, and does not stop its partition for ever.
func TestASlowRecordGetsMoreTime(t *testing.T) {
	for name, test := range map[string]struct {
		slow  string // what takes a second in all
		write func(w *grouptest.Loop)
	}{
		"an own event":    {"INSERT", func(w *grouptest.Loop) { w.Publish(w.Own(world.Decision("ann", 1))) }},
		"a foreign event": {"INSERT", func(w *grouptest.Loop) { w.Publish(w.Foreign(world.Decision("ann", 1))) }},
		"an erasure":      {"DELETE", func(w *grouptest.Loop) { w.Publish(w.Own(erased("ann", 1))) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := grouptest.New(t)
			w.Exec("INSERT INTO weight_counts_1 (version, user_id, feature, approvals, rejections, updated_at) VALUES (1, 'ann', 'domain:x', 1, 0, now())")
			w.Exec("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN COALESCE(NEW, OLD); END $$")
			w.Exec("CREATE TRIGGER slow BEFORE " + test.slow + " ON weight_counts_1 FOR EACH ROW EXECUTE FUNCTION slow()")
			test.write(w)
			w.Start(w.Weights(func(c *consumers.Config) { c.BatchDeadline = 300 * time.Millisecond }))
			w.AwaitWeights()
			if diff := cmp.Diff(world.Ledger{Fetched: 1, Applied: 1}, w.Ledger("weights")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
