package person

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
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

// Others wait for what an erasure has locked, so it finds everything by an index.
func TestErasingReadsNoTableWhole(t *testing.T) {
	pool, _ := testenv.Database(t)
	plans.Fill(t, pool)
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		within(t, pool, mode, func(tx pgx.Tx) {
			event := &events.Event{
				Envelope: events.Envelope{Type: events.TypeUserErased, ID: "e", Source: "/test"},
				Erasure:  &events.Erasure{UserID: plans.Person, RecordedAt: time.Now()},
			}
			rows, err := erase(t.Context(), tx, event)
			if err != nil {
				t.Fatal(err)
			}
			for table, want := range map[string]int64{"mails": 20000, "actions": 100, "policies": 10, "outbox": 100, "dead_letters": 100} {
				if rows[table] != want {
					t.Errorf("%d rows of %s are erased, want %d", rows[table], table, want)
				}
			}
			plans.HoldScans(t, tx, "erasing, "+mode)
		})
		for _, a := range ahead {
			within(t, pool, mode, func(tx pgx.Tx) {
				var n int64
				statement := fmt.Sprintf(a.statement(), a.table+"_1", a.order)
				if err := tx.QueryRow(t.Context(), statement, plans.Person, someRows).Scan(&n); err != nil || n != someRows {
					t.Fatalf("%d rows of %s, want %d (%v)", n, a.table, someRows, err)
				}
				plans.HoldScans(t, tx, "erasing some, "+mode)
			})
		}
	}
}

// within runs f in a transaction that is rolled back.
func within(t *testing.T, pool *pgxpool.Pool, mode string, f func(pgx.Tx)) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // nothing was done that matters
	if _, err := tx.Exec(t.Context(), plans.NoScans(mode)); err != nil {
		t.Fatal(err)
	}
	f(tx)
}
