package consumers_test

import (
	"testing"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// A log that was cut below the position and has grown past it again holds records that were never read: adopting it
// must not pass over them.
func TestTruncatedTopicIsReadFromTheCut(t *testing.T) {
	w := grouptest.New(t)
	stop := w.Start(w.Weights())
	user := w.UsersOf(1, 1)[0]
	for n := range 3 {
		w.Publish(w.Own(world.Decision(user, n)))
	}
	w.AwaitWeights()
	stop()
	// Two more were read from the part that the old leader lost.
	lost := []string{
		"UPDATE positions SET next_offset = 5, fetched = fetched + 2, applied = applied + 2 WHERE partition = 1",
		"UPDATE relay_sequences SET last_seq = 5",
		"UPDATE weight_counts SET approvals = 5",
	}
	for _, statement := range lost {
		w.Exec(statement)
	}
	w.Must(w.Cluster.MoveTopicPartition(w.Conn.Topic(events.TopicActions), 1, 0)) // a new leader epoch
	for n := 3; n < 8; n++ {                                                      // the relay publishes the two again, and goes on
		w.Publish(w.Own(world.Decision(user, n)))
	}
	w.Start(w.Weights())
	w.AwaitHalt(ledger.ReasonTruncated)
	moves := w.FollowRemedy(0, -1)
	if diff := cmp.Diff([]operate.Move{{Partition: 1, From: 5, To: 3, Was: "truncated"}}, moves); diff != "" {
		t.Error(diff)
	}
	w.Eventually("all decisions count", func() error {
		got := w.Weight(user, "category:promo")
		return world.Want(got == 1.6, "weight %v", got)
	})
}
