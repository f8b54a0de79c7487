package indexer

import (
	"testing"

	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestPlansAreBounded: what the indexer reads and marks costs no more with the plan that PostgreSQL would keep.
func TestPlansAreBounded(t *testing.T) {
	pool, _ := testenv.Database(t)
	ids := plans.Fill(t, pool)
	const now = "now"
	plans.Hold(t, pool, readMails, ids, now)
	plans.Hold(t, pool, touch, `{ann@example.org,ann@example.net,sender7@example.com}`, `{company7,*,""}`, now)
	plans.Hold(t, pool, markAged, now)
	plans.Hold(t, pool, markNext, 1, "00000000-0000-0000-0000-000000000000", now, 1000)
	if _, err := pool.Exec(t.Context(), "INSERT INTO dirty_mails (mail_id) SELECT id FROM mails LIMIT 5000"); err != nil {
		t.Fatal(err)
	}
	plans.Hold(t, pool, lockMails, 1000, "{}")
}
