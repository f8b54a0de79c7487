package weights

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/metrics"
	"github.com/applylens/applylens/internal/postgres"
)

// FoldVersion grows when the same events fold to other rows.
const FoldVersion = 1

// Group returns the projection of learned weights. It counts on registry, with the label that users gives a person.
func Group(registry prometheus.Registerer, users *metrics.UserLabel) *consumers.Group {
	updates := metrics.Counter(registry, "user_weight_updates_total",
		"Decisions that moved a person's weights up (sign plus) or down (minus).", "user", "sign")
	kinds := []events.Type{
		events.TypeActionApproved, events.TypeActionRejected, events.TypeActionReverted,
		events.TypePreferenceChanged, events.TypeUserErased,
	}
	return &consumers.Group{
		Name:         "weights",
		Topic:        events.TopicActions,
		Folds:        kinds,
		FoldVersion:  FoldVersion,
		Deduplicated: kinds,
		Tables:       []string{"weight_counts"},
		NewBatch: func() consumers.Batch {
			return &batch{Lessons: NewLessons(), updates: updates, label: users}
		},
	}
}

// batch joins the lessons with the table and the counter.
type batch struct {
	*Lessons
	columns columns
	updates *prometheus.CounterVec
	label   *metrics.UserLabel
}

// Add implements consumers.Batch.
func (b *batch) Add(event *events.Event) { b.Learn(event) }

// Write implements consumers.Batch.
func (b *batch) Write(ctx context.Context, tx *postgres.Tx, version consumers.Version) error {
	return b.columns.write(ctx, tx, version, b.Lessons)
}

// Committed implements consumers.Batch.
func (b *batch) Committed() {
	for i := range b.learners {
		learner := &b.learners[i]
		if learner.erased {
			b.label.Forget(learner.id, b.updates)
		}
		if learner.plus+learner.minus == 0 {
			continue // no label for who only changed preferences or went
		}
		user := b.label.Of(learner.id)
		if learner.plus > 0 {
			b.updates.WithLabelValues(user, "plus").Add(float64(learner.plus))
		}
		if learner.minus > 0 {
			b.updates.WithLabelValues(user, "minus").Add(float64(learner.minus))
		}
	}
}
