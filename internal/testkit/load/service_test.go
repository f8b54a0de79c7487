package load

import (
	"errors"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

var everything = Mix{Repeated: 0.02, Refused: 1000, Large: 2000}

func serve(t testing.TB, mix Mix, count int) ([]Record, ServiceSummary) {
	t.Helper()
	s, err := NewService(Profile{Seed: 1, Users: 500}, mix, 6)
	if err != nil {
		t.Fatal(err)
	}
	records := make([]Record, count)
	for i := range records {
		if records[i], err = s.Next(); err != nil {
			t.Fatal(err)
		}
	}
	return records, s.Summary()
}

func TestSameSeedSameService(t *testing.T) {
	first, _ := serve(t, everything, 5000)
	second, _ := serve(t, everything, 5000)
	if !reflect.DeepEqual(first, second) {
		t.Error("the same seed gives other records")
	}
}

// TestFatesOfAService reads the records as a consumer does and compares what becomes of them with their fates.
func TestFatesOfAService(t *testing.T) {
	records, summary := serve(t, everything, 20_000)
	decoder, seen, reasons := events.NewDecoder(), map[events.UUID]uint64{}, map[string]int64{}
	var repeated, large int64
	for i, record := range records {
		if len(record.Headers) != 9 {
			t.Fatalf("%d headers", len(record.Headers))
		}
		fate, reason := read(t, decoder, &record, seen)
		if fate != record.Fate || reason != record.Reason {
			t.Fatalf("record %d of fate %d (%s) has fate %d (%s)", i, record.Fate, record.Reason, fate, reason)
		}
		switch fate {
		case Repeated:
			repeated++
		case Refused:
			reasons[reason]++
		}
		if len(record.Value) > LargeBytes*99/100 {
			large++
		}
	}
	for _, reason := range []string{"bad_time", "malformed", "key", "conflict"} {
		if reasons[reason] != 5 {
			t.Errorf("%d refused as %s, want 5", reasons[reason], reason)
		}
	}
	if repeated != summary.Repeated || repeated < 300 || repeated > 500 {
		t.Errorf("%d repeats, %d counted, want 2 in 100", repeated, summary.Repeated)
	}
	if large != summary.Large || large != 10 || summary.Refused != 20 || summary.Records != 20_000 {
		t.Errorf("%d large records, counted: %+v", large, summary)
	}
}

// read tells what must become of a record, from its bytes alone.
func read(t *testing.T, decoder *events.Decoder, record *Record, seen map[events.UUID]uint64) (Fate, string) {
	t.Helper()
	head, err := decoder.Head(record.Headers)
	if err != nil {
		t.Fatal(err)
	}
	var event events.Event
	var refused *events.Error
	if err := decoder.Decode(&head, record.Value, &event); errors.As(err, &refused) {
		return Refused, string(refused.Reason)
	}
	if event.Key() != string(record.Key) || events.Partition(record.Key, 6) != record.Partition {
		return Refused, "key"
	}
	if event.Action.HasFeatures || len(event.Action.Features) == 0 {
		t.Fatalf("features %v are not derived", event.Action.Features)
	}
	hash := events.ContentHash(&event)
	before, known := seen[events.EffectID(&event)]
	switch {
	case known && before == hash:
		return Repeated, ""
	case known:
		return Refused, "conflict"
	}
	seen[events.EffectID(&event)] = hash
	return Applied, ""
}

func TestRepeatsComeSoonAndLate(t *testing.T) {
	records, _ := serve(t, Mix{Repeated: 0.02}, 20_000)
	first, soon, late := map[string]int{}, 0, 0
	for i, record := range records {
		id := record.Event.ID
		switch at, known := first[id]; {
		case !known:
			first[id] = i
		case i-at <= 2*earlyRepeats:
			soon++
		case i-at > 1000:
			late++
		}
	}
	if soon < 100 || late < 100 {
		t.Errorf("%d repeats come soon, %d late", soon, late)
	}
}

func TestImpossibleMixIsRefused(t *testing.T) {
	for _, mix := range []Mix{{Repeated: 1}, {Repeated: -0.1}, {Refused: -1}, {Large: -1}} {
		if _, err := NewService(Profile{}, mix, 6); err == nil {
			t.Errorf("%+v is accepted", mix)
		}
	}
}

// TestFillMakesTheBatchesAskedFor counts the batches of a log with each compression.
func TestFillMakesTheBatchesAskedFor(t *testing.T) {
	for _, compression := range Compressions {
		t.Run(compression, func(t *testing.T) {
			_, kafka := testenv.Kfake(t, kfake.SeedTopics(6, "x"))
			conn, err := broker.Open(kafka)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			f := func(batchBytes, batchRecords, least, most int) {
				t.Helper()
				s, err := NewService(Profile{Seed: 1, Users: 500}, everything, 6)
				if err != nil {
					t.Fatal(err)
				}
				client := Client{Dial: conn.Reader, Topic: "x", Partitions: 6, Compression: compression, BatchBytes: batchBytes, BatchRecords: batchRecords}
				batches, err := client.Fill(t.Context(), s, 3000)
				if err != nil || batches < least || batches > most {
					t.Errorf("%d batches, want %d..%d: %v", batches, least, most, err)
				}
			}
			f(MaxBatchBytes, 10, 300, 310)
			f(16<<10, 0, 140, 200) // a batch holds about 20 records, and a large one is alone
			f(MaxBatchBytes, 0, 6, 12)
			ends, err := conn.Admin.ListEndOffsets(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			written := int64(0)
			ends.Each(func(o kadm.ListedOffset) { written += o.Offset })
			if written != 9000 {
				t.Errorf("%d records written, want 9000", written)
			}
		})
	}
}
