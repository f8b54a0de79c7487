package policystats

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/metrics"
)

func TestCommittedCountsByPolicyAndUser(t *testing.T) {
	users, err := metrics.NewUserLabel(metrics.UserPlain, nil)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	batch := Group(registry, users).NewBatch()
	for _, event := range []events.Event{
		action(events.TypeActionProposed, "ada", 7, midnight),
		action(events.TypeActionProposed, "ada", 7, midnight.AddDate(0, 0, 1)),
		action(events.TypeActionApproved, "ada", 7, midnight),
		reversal(events.DecisionApproved, "ada", 7, midnight),
		action(events.TypeActionRejected, "ada", 7, midnight),
		action(events.TypeActionProposed, "bob", 8, midnight),
		action(events.TypeActionRejected, "bob", 8, midnight),
	} {
		batch.Add(&event)
	}
	batch.Committed()
	want := `
# HELP policy_approved_total Proposals of a policy that were approved.
# TYPE policy_approved_total counter
policy_approved_total{policy_id="7",user="ada"} 1
policy_approved_total{policy_id="8",user="bob"} 0
policy_approved_total{policy_id="other",user="other"} 0
# HELP policy_fired_total Proposals that a policy made.
# TYPE policy_fired_total counter
policy_fired_total{policy_id="7",user="ada"} 2
policy_fired_total{policy_id="8",user="bob"} 1
policy_fired_total{policy_id="other",user="other"} 0
# HELP policy_rejected_total Proposals of a policy that were rejected.
# TYPE policy_rejected_total counter
policy_rejected_total{policy_id="7",user="ada"} 1
policy_rejected_total{policy_id="8",user="bob"} 1
policy_rejected_total{policy_id="other",user="other"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestErasingDropsTheSeries(t *testing.T) {
	users, err := metrics.NewUserLabel(metrics.UserPlain, nil)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	batch := Group(registry, users).NewBatch()
	commit := func(list ...events.Event) {
		for _, event := range list {
			batch.Add(&event)
		}
		batch.Committed()
		batch.Reset()
	}
	f := func(series ...string) {
		t.Helper()
		want := "# HELP policy_fired_total Proposals that a policy made.\n# TYPE policy_fired_total counter\n" +
			strings.Join(append(series, `policy_fired_total{policy_id="other",user="other"} 0`), "\n") + "\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "policy_fired_total"); err != nil {
			t.Error(err)
		}
	}
	propose := func(user string, policy int64) events.Event {
		return action(events.TypeActionProposed, user, policy, midnight)
	}
	commit(propose("ada", 7), propose("bob", 8))
	commit(propose("ada", 7), propose("ada", 9), erasure("ada"))
	f(`policy_fired_total{policy_id="8",user="bob"} 1`)
	commit(propose("bob", 8), erasure("bob"), propose("bob", 8), propose("ada", 7))
	f(`policy_fired_total{policy_id="7",user="ada"} 1`, `policy_fired_total{policy_id="8",user="bob"} 1`)
	commit(erasure("ada"), erasure("bob"))
	f()
}

func TestSeriesAreBounded(t *testing.T) {
	for _, mode := range []string{metrics.UserHash, metrics.UserOff} {
		t.Run(mode, func(t *testing.T) {
			users, err := metrics.NewUserLabel(mode, []byte("key"))
			if err != nil {
				t.Fatal(err)
			}
			registry := prometheus.NewRegistry()
			batch := Group(registry, users).NewBatch()
			for i := range 2 * maxSeries {
				event := action(events.TypeActionProposed, fmt.Sprint("user", i%1_500), int64(i), midnight)
				batch.Add(&event)
			}
			batch.Committed()
			for _, name := range []string{"policy_fired_total", "policy_approved_total", "policy_rejected_total"} {
				if count, err := testutil.GatherAndCount(registry, name); err != nil || count > maxSeries+1 {
					t.Errorf("%s has %d series (%v)", name, count, err)
				}
			}
		})
	}
}
