package enrichment

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestPlansAreBounded: putting applications and marking what they touch costs no more with the plan that PostgreSQL keeps.
func TestPlansAreBounded(t *testing.T) {
	pool, _ := testenv.Database(t)
	plans.Fill(t, pool)
	var rows []row
	for n := range 1000 {
		rows = append(rows, row{System: "lever", ApplicationID: fmt.Sprint(n + 1), Addresses: []string{}, Stage: "Offer", SrcVersion: 2,
			Keys: []match{{Address: "ann@example.org"}}})
	}
	text, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{markAddresses, dropKeys, putKeys} {
		plans.Hold(t, pool, statement, 1, string(text))
	}
}
