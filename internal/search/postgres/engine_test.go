package postgres

import (
	"context"
	"testing"

	database "github.com/applylens/applylens/internal/postgres"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/enrichment"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/searchtest"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

func TestEngine(t *testing.T) {
	pool, _ := testenv.Database(t)
	searchtest.Run(t, searchtest.Subject{Engine: New(pool), Put: func(t testing.TB, mails ...searchtest.Mail) {
		t.Helper()
		put(t, pool, mails)
	}})
}

// put folds mails and applications as their groups do.
func put(t testing.TB, pool *pgxpool.Pool, mails []searchtest.Mail) {
	t.Helper()
	received, changed := mailbox.Group().NewBatch(), enrichment.Group().NewBatch()
	for i := range mails {
		received.Add(&events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: &mails[i].Mail})
		if application := mails[i].Application; application != nil {
			changed.Add(&events.Event{Envelope: events.Envelope{Type: events.TypeApplicationChanged}, Application: application})
		}
	}
	err := database.InTx(context.Background(), pool, func(tx *database.Tx) error {
		if err := received.Write(context.Background(), tx, consumers.Version{Number: 1}); err != nil {
			return err
		}
		return changed.Write(context.Background(), tx, consumers.Version{Number: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
}
