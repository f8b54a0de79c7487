package mailbox

import (
	"context"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

// FoldVersion grows when the same events fold to other rows.
const FoldVersion = 4

// Group returns the projection of mails.
func Group() *consumers.Group {
	return &consumers.Group{
		Name:         "mailbox",
		Topic:        events.TopicMail,
		Folds:        []events.Type{events.TypeMailReceived, events.TypeUserErased},
		FoldVersion:  FoldVersion,
		Deduplicated: []events.Type{events.TypeUserErased}, // a repeat of it would take what came since
		Tables:       []string{"mails", "mail_addresses", "mail_correspondents"},
		NewBatch:     func() consumers.Batch { return batch{NewFold()} },
	}
}

// batch joins the fold with the tables.
type batch struct{ *Fold }

// Write implements consumers.Batch. Only a live version tells which mail is new, and marks what the indexer has to look at.
func (b batch) Write(ctx context.Context, tx *postgres.Tx, version consumers.Version) error {
	changed, err := write(ctx, tx, version.Number, b.Fold)
	if err != nil || version.Shadow {
		return err
	}
	changed.new.queue(tx, b.erased)
	return mark(ctx, tx, version.Number, changed)
}

// Committed implements consumers.Batch: the group has no counters of its own.
func (b batch) Committed() {}
