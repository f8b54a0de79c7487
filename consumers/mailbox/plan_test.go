package mailbox

import (
	"testing"

	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestPlansAreBounded: marks and new mail cost no more with the plan that PostgreSQL keeps.
func TestPlansAreBounded(t *testing.T) {
	pool, _ := testenv.Database(t)
	ids := plans.Fill(t, pool)
	const addresses = `{ann@example.org,nobody@example.org}`
	plans.Hold(t, pool, markMails, ids)
	plans.Hold(t, pool, markAddresses, addresses)
	plans.Hold(t, pool, unmarkAddresses, 1, addresses)
	plans.Hold(t, pool, addNewMails, `{ann,ann}`, `{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002}`, `{2026-01-01,2100-01-01}`)
	plans.Hold(t, pool, eraseNewMails, `{ann,other1}`)
	plans.Hold(t, pool, eraseAddresses, 1, `{ann,other1}`)
}
