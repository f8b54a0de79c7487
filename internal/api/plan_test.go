package api

import (
	"testing"

	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestHitsAreReadOnce: showing a thousand hits looks each application up once, also with the plan that PostgreSQL keeps.
func TestHitsAreReadOnce(t *testing.T) {
	pool, _ := testenv.Database(t)
	ids := plans.Fill(t, pool)
	plans.Hold(t, pool, selectHits, plans.Person, ids)
}

// TestLearnedIsFoundByPerson: preferences and statistics cost no more with the plan that PostgreSQL keeps.
func TestLearnedIsFoundByPerson(t *testing.T) {
	pool, _ := testenv.Database(t)
	plans.Fill(t, pool)
	plans.Hold(t, pool, selectPreferences, plans.Person, 0, 20)
	plans.Hold(t, pool, selectStats, plans.Person, 30)
}
