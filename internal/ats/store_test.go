package ats

import (
	"testing"

	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestApplicationsOfMailsAreReadOnce: also with the plan that PostgreSQL keeps.
func TestApplicationsOfMailsAreReadOnce(t *testing.T) {
	pool, _ := testenv.Database(t)
	ids := plans.Fill(t, pool)
	plans.Hold(t, pool, selectOfMails, plans.Person, ids)
}
