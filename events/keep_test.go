package events_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

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

// Nothing of a kept event is what the decoder writes the next one into.
func TestKeptEventsShareNothingWithTheDecoder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var keeper events.Keeper
		decoder := events.NewDecoder()
		var kept, want []*events.Event
		for range 6 {
			drawn := draw{r}.event()
			record, err := events.Encode(drawn)
			if err != nil {
				r.Fatal(err)
			}
			head, err := decoder.Head(record.Headers)
			if err != nil {
				r.Fatal(err)
			}
			var event events.Event
			if err := decoder.Decode(&head, record.Value, &event); err != nil {
				r.Fatal(err)
			}
			one, _ := keeper.Keep(&event)
			kept, want = append(kept, one), append(want, drawn)
		}
		if diff := cmp.Diff(want, kept, cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// The size of a kept event bounds what it takes, whatever its producer put into it.
func TestSizeOfKeptEvents(t *testing.T) {
	long := strings.Repeat("x", 200)
	many := slices.Repeat([]string{long}, 100)
	f := func(e *events.Event) {
		t.Helper()
		var keeper events.Keeper
		if _, size := keeper.Keep(e); size < 100*200 {
			t.Errorf("a size of %d bytes, want at least that of its texts", size)
		}
	}
	f(&events.Event{Action: &events.Action{Features: many}})
	f(&events.Event{Mail: &events.Mail{Labels: many}})
	f(&events.Event{Mail: &events.Mail{Recipients: slices.Repeat([]events.Address{{Name: long, Address: long}}, 100)}})
	f(&events.Event{Mail: &events.Mail{References: many}})
	f(&events.Event{Mail: &events.Mail{Cc: slices.Repeat([]events.Address{{Name: long, Address: long}}, 100)}})
	f(&events.Event{Mail: &events.Mail{Attachments: slices.Repeat([]events.Attachment{{Name: long, Type: long}}, 100)}})
	f(&events.Event{Mail: &events.Mail{HTML: strings.Repeat("x", 100*200)}})
	f(&events.Event{Application: &events.Application{Addresses: many}})
}
