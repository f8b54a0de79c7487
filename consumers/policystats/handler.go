package policystats

import (
	"context"
	"maps"
	"strconv"
	"sync"

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
		count := &b.counts[i]
		if !b.stands(count) {
			continue
		}
		series := b.counters.of(b.users[count.user].id, count.policy)
		series.fired.Add(float64(count.seen.proposed))
		series.approved.Add(float64(count.seen.approved))
		series.rejected.Add(float64(count.seen.rejected))
	}
}

// maxSeries bounds the pairs of policy and user that are counted apart; all later ones are counted as "other".
const maxSeries = 10_000

// counters are the product's counters of policies. They may be used concurrently.
type counters struct {
	fired, approved, rejected *prometheus.CounterVec
	users                     *metrics.UserLabel

	mu     sync.Mutex
	series map[pair]series
	other  series
}

type pair struct {
	policy int64
	user   string // label
}

type series struct{ fired, approved, rejected prometheus.Counter }

func newCounters(registry prometheus.Registerer, users *metrics.UserLabel) *counters {
	c := &counters{
		fired:    metrics.Counter(registry, "policy_fired_total", "Proposals that a policy made.", "policy_id", "user"),
		approved: metrics.Counter(registry, "policy_approved_total", "Proposals of a policy that were approved.", "policy_id", "user"),
		rejected: metrics.Counter(registry, "policy_rejected_total", "Proposals of a policy that were rejected.", "policy_id", "user"),
		users:    users,
		series:   make(map[pair]series),
	}
	c.other = c.labelled(metrics.Other, metrics.Other)
	return c
}

// of returns the counters of a user's policy.
func (c *counters) of(user string, policy int64) series {
	label := c.users.Of(user)
	if label == metrics.Other { // whose policies have no bound
		return c.other
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found, known := c.series[pair{policy, label}]
	if known {
		return found
	}
	if len(c.series) == maxSeries {
		return c.other
	}
	found = c.labelled(strconv.FormatInt(policy, 10), label)
	c.series[pair{policy, label}] = found
	return found
}

// forget drops the counters of a user's policies.
func (c *counters) forget(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if label := c.users.Forget(user, c.fired, c.approved, c.rejected); label != "" {
		maps.DeleteFunc(c.series, func(at pair, _ series) bool { return at.user == label })
	}
}

func (c *counters) labelled(policy, user string) series {
	return series{
		fired:    c.fired.WithLabelValues(policy, user),
		approved: c.approved.WithLabelValues(policy, user),
		rejected: c.rejected.WithLabelValues(policy, user),
	}
}
