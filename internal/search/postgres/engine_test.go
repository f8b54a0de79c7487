package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	database "github.com/applylens/applylens/internal/postgres"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/enrichment"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search"
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

// TestPhrasesOfLongMails: mails whose pairs of words the index does not hold are found by phrases like others, and so is a
// percent sign beside one.
func TestPhrasesOfLongMails(t *testing.T) {
	pool, _ := testenv.Database(t)
	var text strings.Builder
	for n := range 30_000 {
		fmt.Fprintf(&text, "word%d ", n)
	}
	long := events.Mail{UserID: "ann", MessageID: "long", Text: text.String(), ReceivedAt: now, RecordedAt: now, Category: "50%1$s", Labels: []string{"100% mine"}}
	put(t, pool, []searchtest.Mail{{Mail: long}})
	for query, want := range map[string]int{
		`"word7 word8 word9"`: 1, `"word29998 word29999"`: 1, `"word8 word7"`: 0, `"word7 word9"`: 0, `"word7 word8" "word9 word8"`: 0,
		`"word1 word2" category:50%1$s label:"100% mine"`: 1, `"word1 word2" label:"100%% mine"`: 0, `label:"100% mine"`: 1,
	} {
		hits, err := New(pool).Search(t.Context(), search.Request{UserID: "ann", Where: at(query), Limit: 1000})
		if err != nil || len(hits) != want {
			t.Errorf("%s: found %d mails, want %d: %v", query, len(hits), want, err)
		}
	}
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
