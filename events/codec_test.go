package events_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/applylens/applylens/events"
)

// roundTrip encodes an event and returns what the record decodes to.
func roundTrip(t testing.TB, d *events.Decoder, e *events.Event) *events.Event {
	t.Helper()
	record, err := events.Encode(e)
	if err != nil {
		t.Fatalf("Encode: %v", err)
	}
	if got := string(record.Key); got != e.Key() {
		t.Errorf("key %q, want %q", got, e.Key())
	}
	head, err := d.Head(record.Headers)
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	var got events.Event
	if err := d.Decode(&head, record.Value, &got); err != nil {
		t.Fatalf("Decode %s: %v", record.Value, err)
	}
	return &got
}

func TestEncodeThenDecodeIsIdentity(t *testing.T) {
	d := events.NewDecoder()
	for _, e := range samples() {
		t.Run(e.Type.String(), func(t *testing.T) {
			if diff := cmp.Diff(e, roundTrip(t, d, e), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
