package proposals

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestAPageOfMailIsReadByAnIndex: neither sorted nor found by reading the table whole.
func TestAPageOfMailIsReadByAnIndex(t *testing.T) {
	pool, _ := testenv.Database(t)
	plans.Fill(t, pool)
	rows, err := pool.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "+selectMailPage,
		plans.Person, time.Now().Add(-100*time.Hour), [16]byte{}, 2000)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if strings.Contains(line, "Seq Scan on mails") || strings.Contains(line, "Sort") {
			t.Errorf("a page of mail is read by\n%s", strings.Join(lines, "\n"))
		}
	}
}
