package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search/searchtest"
	"github.com/applylens/applylens/internal/testenv"
)

func TestEngine(t *testing.T) {
	pool, _ := testenv.Database(t)
	standIn(t, pool)
	searchtest.Run(t, searchtest.Subject{Engine: New(pool), Put: func(t testing.TB, mails ...searchtest.Mail) {
		t.Helper()
		put(t, pool, mails)
	}})
}

// put folds mails as the mailbox does.
func put(t testing.TB, pool *pgxpool.Pool, mails []searchtest.Mail) {
	t.Helper()
	batch := mailbox.Group().NewBatch()
	for i := range mails {
		batch.Add(&events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: &mails[i].Mail})
	}
	err := pgx.BeginFunc(context.Background(), pool, func(tx pgx.Tx) error {
		return batch.Write(context.Background(), tx, consumers.Version{Number: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range mails {
		if ats := mails[i].ATS; ats != nil {
			putATS(t, pool, &mails[i])
		}
	}
}

// standIn makes what enrichment gives: the application of each mail.
func standIn(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `CREATE TABLE live_ats (mail_id uuid PRIMARY KEY, user_id text, system text, application_id text, stage text,
		company text, last_stage_change timestamptz, interview_date timestamptz, ghosting_risk double precision);
		CREATE INDEX ON live_ats (user_id)`)
	if err != nil {
		t.Fatal(err)
	}
}

func putATS(t testing.TB, pool *pgxpool.Pool, m *searchtest.Mail) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `INSERT INTO live_ats VALUES ($1, $2, $3, '7', $4, $5, NULL, NULL, $6)
		ON CONFLICT (mail_id) DO UPDATE SET stage = excluded.stage, ghosting_risk = excluded.ghosting_risk`,
		[16]byte(m.ID()), m.UserID, m.ATS.System, m.ATS.Stage, m.ATS.Company, m.ATS.GhostingRisk)
	if err != nil {
		t.Fatal(err)
	}
}
