package person

import (
	"testing"

	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestPlansAreBounded: erasing and exporting a person costs no more with the plan that PostgreSQL keeps.
func TestPlansAreBounded(t *testing.T) {
	pool, _ := testenv.Database(t)
	plans.Fill(t, pool)
	plans.Hold(t, pool, selectAddresses, plans.Person)
	plans.Hold(t, pool, unmarkAddresses, `{ann@example.org,nobody@example.org}`)
	plans.Hold(t, pool, eraseMails, plans.Person)
	for _, part := range parts {
		plans.Hold(t, pool, part.rows, plans.Person)
	}
}
