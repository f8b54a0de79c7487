package consumers_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/internal/testkit/grouptest"
)

// A dead letter that was closed keeps its bytes for a month, and an open one as long as it is open.
func TestClosedDeadLettersAreEmptiedAfterAMonth(t *testing.T) {
	w := grouptest.New(t)
	ann := w.UsersOf(0, 1)[0]
	w.Start(w.Weights())
	w.Publish(broken(w, ann, 1), broken(w, ann, 2), broken(w, ann, 3), broken(w, ann, 4))
	w.AwaitWeights()
	discard := func(offset int) {
		var id int64
		w.Must(w.Pool.QueryRow(t.Context(), "SELECT id FROM dead_letters WHERE log_offset = $1", offset).Scan(&id))
		w.Must(operate.Discard(t.Context(), w.Pool, id, "tester", "of no use"))
	}
	discard(0)
	discard(1)
	w.Exec("UPDATE dead_letters SET updated_at = now() - interval '29 days'")
	w.Exec("UPDATE dead_letters SET updated_at = now() - interval '31 days' WHERE log_offset IN (0, 3)")
	discard(2)
	discarded := open(ann, 2)
	discarded.State = "discarded"
	last := discarded
	last.Value = open(ann, 3).Value
	want := []letter{{State: "discarded", UserID: ann, Detail: "kept"}, discarded, last, open(ann, 4)}
	if diff := cmp.Diff(want, kept(w, "weights")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
