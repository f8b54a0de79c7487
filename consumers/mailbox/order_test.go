package mailbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// The indexer turns marks of addresses into marks of mails. A fold that made them in the other order would meet it in a
// deadlock, and so would a person's change of addresses.
func TestMarksAreMadeInTheIndexersOrder(t *testing.T) {
	second := received("u1", "a", "y", 1, "me@x.example")
	for name, change := range map[string]func(*postgres.Tx) error{
		"a fold": func(tx *postgres.Tx) error {
			batch := Group().NewBatch()
			batch.Add(second)
			return batch.Write(context.Background(), tx, live)
		},
		"a change of addresses": func(tx *postgres.Tx) error {
			_, err := tx.Exec(context.Background(), "UPDATE users SET addresses = '{me@x.example}'")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, _ := testenv.Database(t)
			testenv.Index(t, db)
			store(t, db, live, []*events.Event{received("u1", "a", "x", 0, "me@x.example")})
			if _, err := db.Exec(t.Context(), "INSERT INTO users (id, addresses) VALUES ('u1', '{old@x.example}')"); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(t.Context(), "DELETE FROM mail_addresses"); err != nil {
				t.Fatal(err)
			}
			indexer, err := db.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer indexer.Rollback(context.Background()) //nolint:errcheck // after a commit it does nothing
			if _, err := indexer.Exec(t.Context(), "SELECT FROM dirty_addresses FOR UPDATE"); err != nil {
				t.Fatal(err)
			}
			changed := make(chan error, 1)
			go func() { changed <- postgres.InTx(context.Background(), db, change) }()
			testenv.Eventually(t, 30*time.Second, time.Millisecond, "the change waits for the marked address", func() error {
				var waits bool
				err := db.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')").Scan(&waits)
				if err == nil && !waits {
					err = errors.New("it does not wait")
				}
				return err
			})
			_, err = indexer.Exec(t.Context(), "SELECT mark_mails(ARRAY[$1::uuid])", idOf(second))
			if err == nil {
				err = indexer.Commit(t.Context())
			}
			if err != nil {
				t.Error("the indexer:", err)
			}
			if err := <-changed; err != nil {
				t.Error("the change:", err)
			}
		})
	}
}

// The ids of two persons' mails could only be the same if somebody made the hashes meet. Neither gets the other's mail then.
func TestMailOfAnotherPersonIsNotReplaced(t *testing.T) {
	db, _ := testenv.Database(t)
	store(t, db, live, []*events.Event{received("u1", "a", "x", 0)})
	if _, err := db.Exec(t.Context(), "UPDATE mails SET user_id = 'u2'"); err != nil {
		t.Fatal(err)
	}
	for _, piece := range [][]*events.Event{{received("u1", "a", "y", 1)}, {received("u1", "a", "z", 2), received("u1", "a", "y", 3)}} {
		store(t, db, live, piece)
		var user, text string
		err := db.QueryRow(t.Context(), "SELECT user_id, text FROM mails").Scan(&user, &text)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && (user != "u2" || text != "x") {
			t.Errorf("the other's mail is now %q's, with text %q (%v)", user, text, err)
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
