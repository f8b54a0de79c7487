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
