package oracle_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/load"
	"github.com/applylens/applylens/internal/testkit/oracle"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestReadCountsWhatWasWritten compares totals with those of the generator, which does not fold.
func TestReadCountsWhatWasWritten(t *testing.T) {
	const partitions, records = 6, 6_000
	_, kafka := testenv.Kfake(t, kfake.SeedTopics(partitions, "x.applylens.actions"))
	identity := load.Identity{Source: "/applylens/test", Relay: events.UUID{15: 1}}
	generator, err := load.NewGenerator(load.Profile{Seed: 5, Users: 300, Foreign: 0.5, Repeated: 0.01, Refused: 0.02}, identity, partitions)
	if err != nil {
		t.Fatal(err)
	}
	writer, err := load.NewWriter(generator, kafka.KafkaBrokers, "x.applylens.actions")
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := writer.Write(t.Context(), records, 0); err != nil {
		t.Fatal(err)
	}
	expected, err := oracle.Read(t.Context(), oracle.Log{
		Brokers: kafka.KafkaBrokers, Prefix: "x.",
		Trust: oracle.Trust{Source: identity.Source, Relays: map[string]int{identity.Relay.String(): 0}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var read, fired, decided int64
	for _, count := range expected.Records {
		read += count
	}
	for _, day := range expected.Days {
		fired += day.Fired
		decided += day.Approved + day.Rejected
	}
	summary := generator.Summary()
	same := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%d %s, want %d", got, what, want)
		}
	}
	same("records", read, records)
	same("proposals", fired, summary.ByType[events.TypeActionProposed.String()])
	same("decisions", decided, summary.ByType[events.TypeActionApproved.String()]+summary.ByType[events.TypeActionRejected.String()])
	same("repeats", expected.Repeats[oracle.PolicyStats], summary.Repeated)
	same("dead letters", int64(len(expected.DeadLetters[oracle.PolicyStats])), summary.Refused)
}
