package ledger

import (
	"bytes"
	"testing"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/kafkalog"
)

// Of a value that is too large to keep, only as much is searched for its person as would be kept.
func TestPersonOfALargeValue(t *testing.T) {
	log := Log{Topic: events.TopicActions}
	filler := bytes.Repeat([]byte(" "), maxStoredValue)
	f := func(value []byte, want string) {
		t.Helper()
		if got := log.whose(&kafkalog.Record{Key: []byte("key"), Value: value}); got != want {
			t.Errorf("the person is %q, want %q", got, want)
		}
	}
	f(append([]byte(`{"user_id":"ann",`), filler...), "ann")
	f(append(bytes.Clone(filler), `{"user_id":"ann"}`...), "key")
}
