package load

import (
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

var busyProfile = Profile{
	Seed: 7, Users: 500, Proposed: 0.3, Reverted: 0.05, Preferred: 0.03, Performed: 0.02, Erased: 0.001, Foreign: 0.4, Derived: 0.3,
	Repeated: 0.01, Refused: 0.02,
}

var identity = Identity{Source: "/applylens/test", Relay: events.NewUUIDv7(time.Unix(1, 0))}

func generate(t testing.TB, profile Profile, count int) ([]Record, Summary) {
	t.Helper()
	g, err := NewGenerator(profile, identity, 6)
	if err != nil {
		t.Fatal(err)
	}
	records := make([]Record, count)
	for i := range records {
		if records[i], err = g.Next(); err != nil {
			t.Fatal(err)
		}
	}
	return records, g.Summary()
}

func TestSameSeedSameRecords(t *testing.T) {
	first, _ := generate(t, busyProfile, 5000)
	second, _ := generate(t, busyProfile, 5000)
	if !reflect.DeepEqual(first, second) {
		t.Error("the same seed gives other records")
	}
	other := busyProfile
	other.Seed = 8
	third, _ := generate(t, other, 5000)
	if reflect.DeepEqual(first, third) {
		t.Error("another seed gives the same records")
	}
}

// TestRecordsKeepTheContract reads the records as a consumer does: numbers are dense but for repeats, and only what was
// counted as refused is refused.
func TestRecordsKeepTheContract(t *testing.T) {
	records, summary := generate(t, busyProfile, 50_000)
	decoder, last, refused, repeated, kinds := events.NewDecoder(), map[int]int64{}, int64(0), int64(0), map[events.Type]int{}
	seen := map[string]bool{}
	for _, record := range records {
		head, err := decoder.Head(record.Headers)
		if err != nil {
			t.Fatal(err)
		}
		if own := head.Source == identity.Source; own != (head.Relay == identity.Relay) {
			t.Fatalf("source %s with stamp %v", head.Source, head.Stamp)
		}
		kinds[head.Type]++
		switch {
		case head.Seq == last[record.Partition]+1:
			last[record.Partition]++
		case head.Seq > last[record.Partition]:
			t.Fatalf("number %d follows %d", head.Seq, last[record.Partition])
		}
		var event events.Event
		err = decoder.Decode(&head, record.Value, &event)
		key := head.Source + head.ID
		switch {
		case err != nil || event.Key() != string(record.Key):
			refused++
			continue
		case events.Partition(record.Key, 6) != record.Partition:
			t.Fatalf("key %s in partition %d", record.Key, record.Partition)
		case seen[key]:
			repeated++ // or contradicting
		}
		seen[key] = true
	}
	if refused == 0 || refused > summary.Refused {
		t.Errorf("%d refused, %d made to be", refused, summary.Refused)
	}
	if contradicting := summary.Refused - refused; repeated == 0 || repeated > summary.Repeated+contradicting {
		t.Errorf("%d repeated, %d made to be, and %d contradicting", repeated, summary.Repeated, contradicting)
	}
	for _, kind := range []events.Type{
		events.TypeActionProposed, events.TypeActionApproved, events.TypeActionRejected, events.TypeActionReverted,
		events.TypeActionPerformed, events.TypePreferenceChanged, events.TypeUserErased,
	} {
		if kinds[kind] == 0 {
			t.Errorf("no %s", kind)
		}
	}
}

func TestSharesAndSkew(t *testing.T) {
	records, summary := generate(t, Profile{Seed: 3}, 60_000)
	proposed := float64(summary.ByType[events.TypeActionProposed.String()]) / 60_000
	if proposed < 0.32 || proposed > 0.35 {
		t.Errorf("%.3f of the events are proposals, want a third", proposed)
	}
	byUser := map[string]int{}
	for _, record := range records {
		byUser[string(record.Key)]++
	}
	busiest := 0
	for _, count := range byUser {
		busiest = max(busiest, count)
	}
	if len(byUser) < 2000 || busiest < 1000 {
		t.Errorf("%d users, the busiest with %d events: want many, and some that are busy", len(byUser), busiest)
	}
	if summary.Repeated+summary.Refused != 0 {
		t.Errorf("%+v, want neither repeats nor refusals by default", summary)
	}
}

func TestImpossibleProfileIsRefused(t *testing.T) {
	for i, profile := range []Profile{{Proposed: 0.9, Reverted: 0.2}, {Users: -1}, {Skew: 0.5}, {Step: -time.Second}} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			if _, err := NewGenerator(profile, identity, 6); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func BenchmarkGenerate(b *testing.B) {
	g, err := NewGenerator(Profile{Seed: 1}, identity, 6)
	if err != nil {
		b.Fatal(err)
	}
	bytes := 0
	for b.Loop() {
		record, err := g.Next()
		if err != nil {
			b.Fatal(err)
		}
		bytes += len(record.Value)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(bytes)/float64(b.N), "value-bytes")
}

// BenchmarkWrite measures generating and writing to a real broker, acknowledged.
func BenchmarkWrite(b *testing.B) {
	settings := testenv.Kafka(b)
	conn, err := broker.Open(settings)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if err := conn.EnsureTopics(b.Context(), broker.Layout{ReplicationFactor: 1}); err != nil {
		b.Fatal(err)
	}
	g, err := NewGenerator(Profile{Seed: 1}, identity, 6)
	if err != nil {
		b.Fatal(err)
	}
	writer, err := NewWriter(g, settings.KafkaBrokers, conn.Topic(events.TopicActions))
	if err != nil {
		b.Fatal(err)
	}
	defer writer.Close()
	b.ResetTimer()
	if err := writer.Write(b.Context(), b.N, 0); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
