package policystats

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/metrics"
	"github.com/applylens/applylens/internal/postgres"
)

// FoldVersion grows when the same events fold to other rows.
const FoldVersion = 1

// Group returns the projection of policy statistics. It counts on registry, with the label that users gives a person.
func Group(registry prometheus.Registerer, users *metrics.UserLabel) *consumers.Group {
	counters := newCounters(registry, users)
	kinds := []events.Type{
		events.TypeActionProposed, events.TypeActionApproved, events.TypeActionRejected,
		events.TypeActionReverted, events.TypeActionPerformed, events.TypeUserErased,
	}
	return &consumers.Group{
		Name:         "policystats",
		Topic:        events.TopicActions,
		Folds:        kinds,
		FoldVersion:  FoldVersion,
		Deduplicated: kinds,
		Tables:       []string{"policy_days"},
		NewBatch:     func() consumers.Batch { return &batch{Tally: NewTally(), counters: counters} },
	}
}

// batch joins the tally with the table and the counters.
type batch struct {
	*Tally
	columns  columns
	counters *counters
}

// Add implements consumers.Batch.
func (b *batch) Add(event *events.Event) { b.Fold(event) }

// Write implements consumers.Batch.
func (b *batch) Write(ctx context.Context, tx *postgres.Tx, version consumers.Version) error {
	return b.columns.write(ctx, tx, version, b.Tally)
}

// Committed implements consumers.Batch.
func (b *batch) Committed() {
	for _, user := range b.erased() {
		b.counters.forget(user)
	}
	for i := range b.counts {
		if count := &b.counts[i]; b.stands(count) {
			b.counters.add(b.users[count.user].id, count.policy, &count.seen)
		}
	}
}

// maxSeries bounds the pairs of policy and user that are counted apart; all later ones are counted as "other".
const maxSeries = 10_000

// counters are the product's counters of policies. They may be used concurrently.
type counters struct {
	set   *metrics.CounterSet
	users *metrics.UserLabel
}

func newCounters(registry prometheus.Registerer, users *metrics.UserLabel) *counters {
	set := metrics.NewCounterSet(registry, [2]string{"policy_id", "user"}, maxSeries,
		metrics.CounterName{Name: "policy_fired_total", Help: "Proposals that a policy made."},
		metrics.CounterName{Name: "policy_approved_total", Help: "Proposals of a policy that were approved."},
		metrics.CounterName{Name: "policy_rejected_total", Help: "Proposals of a policy that were rejected."})
	return &counters{set, users}
}

// add counts what was seen of a user's policy. The policies of users without a label of their own have no bound: they are
// one series.
func (c *counters) add(user string, policy int64, seen *seen) {
	labels := [2]string{metrics.Other, metrics.Other}
	if label := c.users.Of(user); label != metrics.Other {
		labels = [2]string{strconv.FormatInt(policy, 10), label}
	}
	c.set.Add(labels, float64(seen.proposed), float64(seen.approved), float64(seen.rejected))
}

// forget drops the counters of a user's policies.
func (c *counters) forget(user string) {
	if label := c.users.Forget(user); label != "" {
		c.set.Delete(func(labels [2]string) bool { return labels[1] == label })
	}
}
