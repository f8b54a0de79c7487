package api

import (
	"strings"
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

// TestAMailIsFoundByItsID: the page of a mail costs no more with the plans that PostgreSQL keeps.
func TestAMailIsFoundByItsID(t *testing.T) {
	pool, _ := testenv.Database(t)
	id, _, _ := strings.Cut(strings.Trim(plans.Fill(t, pool), "{}"), ",")
	plans.Hold(t, pool, selectMail, plans.Person, id)
	plans.Hold(t, pool, selectHTML, plans.Person, id)
	plans.Hold(t, pool, selectLearned, plans.Person, "{category:promo,sender:1,sender:2}")
}
