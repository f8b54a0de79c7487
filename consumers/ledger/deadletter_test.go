package ledger_test

import (
	"testing"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/kafkalog"
)

// The size of a dead letter, by which batches and statements are bounded, is also that of its headers.
func TestSizeOfALetter(t *testing.T) {
	letter := ledger.Letter{Record: kafkalog.Record{Headers: []events.Header{{Key: "name", Value: make([]byte, 10_000)}}}}
	if size := letter.Size(); size < 10_000 {
		t.Errorf("%d bytes, want at least those of the header", size)
	}
}
