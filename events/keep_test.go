package events_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/applylens/applylens/events"
)

// A kept event is what it was after its decoder has read all others, and after the memory was used before.
func TestKeptEventsOutliveTheDecoder(t *testing.T) {
	var keeper events.Keeper
	decoder := events.NewDecoder()
	for round := range 3 {
		var kept, want []*events.Event
		for range 90 {
			for _, sample := range samples() {
				record, err := events.Encode(sample)
				if err != nil {
					t.Fatal(err)
				}
				head, err := decoder.Head(record.Headers)
				if err != nil {
					t.Fatal(err)
				}
				var event, fresh events.Event
				if err := decoder.Decode(&head, record.Value, &event); err != nil {
					t.Fatal(err)
				}
				one, size := keeper.Keep(&event)
				if size <= 0 {
					t.Fatalf("a size of %d bytes", size)
				}
				kept = append(kept, one)
				if err := events.NewDecoder().Decode(&head, record.Value, &fresh); err != nil {
					t.Fatal(err)
				}
				want = append(want, &fresh)
			}
		}
		if diff := cmp.Diff(want, kept, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("round %d (-want +got):\n%s", round, diff)
		}
		keeper.Reset()
	}
}
