package consumers_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// whole returns a record as a CloudEvent in structured mode.
func whole(record *kgo.Record, data string) *kgo.Record {
	text := "{"
	for _, header := range record.Headers {
		if name, found := strings.CutPrefix(header.Key, "ce_"); found {
			text += `"` + name + `":"` + string(header.Value) + `",`
		}
	}
	return &kgo.Record{Topic: record.Topic, Partition: record.Partition, Key: record.Key, Value: []byte(text + `"data":` + data + `}`),
		Headers: []kgo.RecordHeader{{Key: events.HeaderContentType, Value: []byte("application/cloudevents+json")}}}
}

// An event in structured mode counts like one in binary mode, also for what is a repeat, a conflict, whom a dead letter is about, and
// when it is redriven.
func TestStructuredEvents(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	user := w.UsersOf(1, 1)[0]
	first, second := from(w, "/others", user, 1, false), from(w, "/others", user, 2, false)
	w.Publish(whole(first, string(first.Value)), first, second, whole(second, string(second.Value)),
		whole(first, `{"user_id":"`+user+`","op":"nonsense"}`), w.Own(world.Decision(user, 3)))
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 6, Applied: 3, Repeated: 2, DeadLettered: 1}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"schema": 1}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
	w.Publish(whole(from(w, "/others", user, 1, false), string(w.Foreign(world.Decision(user, 1, world.Features("category:spam"))).Value)))
	w.AwaitWeights()
	letters, err := ledger.DeadLetters(t.Context(), w.Pool, ledger.LetterFilter{Group: "weights", Limit: 10})
	w.Must(err)
	if len(letters) != 2 || letters[1].Reason != consumers.ReasonConflict {
		t.Fatalf("dead letters %+v", letters)
	}
	for _, letter := range letters {
		if shown, err := ledger.ShowDeadLetter(t.Context(), w.Pool, letter.ID); err != nil || shown.UserID != user {
			t.Errorf("a dead letter is about %q (%v)", shown.UserID, err)
		}
	}
	w.Must(operate.Redrive(t.Context(), w.Pool, w.Conn, letters[1].ID, "tester", true))
	w.RelayOutbox()
	w.AwaitWeights()
	if diff := cmp.Diff(map[string]int{"schema": 1, "conflict": 1}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
	if n := w.Int("SELECT count(*) FROM user_weights WHERE user_id = $1 AND feature = 'category:spam'", user); n != 1 {
		t.Errorf("the redriven event has taught %d features", n)
	}
}
