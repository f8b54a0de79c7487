package weights

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/metrics"
)

func TestCommittedCountsDecisionsByDirection(t *testing.T) {
	users, err := metrics.NewUserLabel(metrics.UserPlain, nil)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	batch := Group(registry, users).NewBatch()
	for _, event := range []events.Event{
		decision(events.TypeActionApproved, "ada", 1, "category:promo", "contains:sale"),
		decision(events.TypeActionApproved, "ada", 2, "category:promo"),
		reversal(events.DecisionApproved, "ada", 3, "category:promo"),
		reversal(events.DecisionRejected, "bob", 4, "category:promo"),
		preference(events.PreferencePin, "ada", "category:promo", 1, 5),
	} {
		batch.Add(&event)
	}
	if count := testutil.CollectAndCount(registry); count != 0 {
		t.Errorf("%d series before the commit", count)
	}
	batch.Committed()
	want := `
# HELP user_weight_updates_total Decisions that moved a person's weights up (sign plus) or down (minus).
# TYPE user_weight_updates_total counter
user_weight_updates_total{sign="minus",user="ada"} 1
user_weight_updates_total{sign="plus",user="ada"} 2
user_weight_updates_total{sign="plus",user="bob"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "user_weight_updates_total"); err != nil {
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
		want := ""
		if len(series) > 0 {
			want = "# HELP user_weight_updates_total Decisions that moved a person's weights up (sign plus) or down (minus).\n" +
				"# TYPE user_weight_updates_total counter\n" + strings.Join(series, "\n") + "\n"
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "user_weight_updates_total"); err != nil {
			t.Error(err)
		}
	}
	approve := func(user string) events.Event { return decision(events.TypeActionApproved, user, 1, "category:promo") }
	commit(approve("ada"), approve("bob"))
	commit(approve("ada"), erasure("ada", 2))
	f(`user_weight_updates_total{sign="plus",user="bob"} 1`)
	commit(erasure("bob", 3), approve("bob"), approve("ada"))
	f(`user_weight_updates_total{sign="plus",user="ada"} 1`, `user_weight_updates_total{sign="plus",user="bob"} 1`)
	commit(erasure("ada", 4), erasure("bob", 4))
	f()
}
