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

// The person is the one of the event, so that the dead letter is erased with them: Go's decoder would take other members too.
func TestPersonIsNamedExactly(t *testing.T) {
	log := Log{Topic: events.TopicActions}
	f := func(value, want string) {
		t.Helper()
		if got := log.whose(&kafkalog.Record{Key: []byte("key"), Value: []byte(value)}); got != want {
			t.Errorf("%s: the person is %q, want %q", value, got, want)
		}
	}
	f(`{"user_id":"ann","USER_ID":"bob"}`, "ann")
	f(`{"User_Id":"bob","u\u017fer_id":"bob","user_id":"ann"}`, "ann")
	f(`{"User_ID":"bob"}`, "key")
	f(`{"user_id":7}`, "key")
	f(`{"mail":{"user_id":"bob"}}`, "key")
	f(`{"user_id":"ann","mail":`, "ann")
}
