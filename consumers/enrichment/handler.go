package enrichment

import (
	"context"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

// FoldVersion grows when the same events fold to other rows.
const FoldVersion = 1

// Group returns the projection of job applications.
func Group() *consumers.Group {
	return &consumers.Group{
		Name:        "enrichment",
		Topic:       events.TopicApplications,
		Folds:       []events.Type{events.TypeApplicationChanged, events.TypeApplicationRemoved},
		FoldVersion: FoldVersion,
		Tables:      []string{"applications", "application_keys"},
		NewBatch:    func() consumers.Batch { return &batch{NewChanges()} },
	}
}

// batch joins the changes with the table.
type batch struct{ *Changes }

// Add implements consumers.Batch.
func (b *batch) Add(event *events.Event) { b.Fold(event) }

// Write implements consumers.Batch.
func (b *batch) Write(ctx context.Context, tx *postgres.Tx, version consumers.Version) error {
	return write(ctx, tx, version, b.Changes)
}

// Committed implements consumers.Batch: the projection counts nothing.
func (b *batch) Committed() {}
