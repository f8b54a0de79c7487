package consumers_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
)

// A log that was cut below the position and has grown past it again holds records that were never read: adopting it
// must not pass over them.
func TestTruncatedTopicIsReadFromTheCut(t *testing.T) {
	w := newWorld(t)
	stop := w.start(w.weights())
	user := usersOf(1, 1)[0]
	for n := range 3 {
		w.publish(w.own(decision(user, n)))
	}
	w.folded("weights", events.TopicActions)
	stop()
	// Two more were read from the part that the old leader lost.
	lost := []string{
		"UPDATE positions SET next_offset = 5, fetched = fetched + 2, applied = applied + 2 WHERE partition = 1",
		"UPDATE relay_sequences SET last_seq = 5",
		"UPDATE weight_counts SET approvals = 5",
	}
	for _, statement := range lost {
		_, err := w.pool.Exec(t.Context(), statement)
		must(t, err)
	}
	must(t, w.cluster.MoveTopicPartition(w.conn.Topic(events.TopicActions), 1, 0)) // a new leader epoch
	for n := 3; n < 8; n++ {                                                       // the relay publishes the two again, and goes on
		w.publish(w.own(decision(user, n)))
	}
	w.start(w.weights())
	w.haltedFor("weights", consumers.HaltTruncated)
	moves, err := w.operator().Adopt(t.Context(), -1)
	must(t, err)
	if diff := cmp.Diff([]consumers.Move{{Partition: 1, From: 5, To: 3, Was: "truncated"}}, moves); diff != "" {
		t.Error(diff)
	}
	w.wait("all decisions", func() (bool, string) {
		got := w.weight(user, "category:promo")
		return got == 1.6, fmt.Sprint("weight ", got)
	})
}
