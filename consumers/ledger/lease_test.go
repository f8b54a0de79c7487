package ledger_test

import (
	"testing"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// A lease that is held for hours keeps nothing from being vacuumed.
func TestLeaseHoldsNoSnapshot(t *testing.T) {
	w := grouptest.New(t)
	leases, err := ledger.OpenLeases(t.Context(), w.Pool, "weights", 2)
	w.Must(err)
	defer leases.Close()
	try := func(partition int, want bool) {
		t.Helper()
		if leased, err := leases.Try(t.Context(), partition); err != nil || leased != want {
			t.Errorf("leasing %d gives %v, %v", partition, leased, err)
		}
	}
	try(0, true)
	try(0, false)
	try(ledger.Comparing, true)
	leases.Release(t.Context(), 0)
	try(0, true)
	held := world.Scalar[int](w, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'")
	pinned := world.Scalar[int](w, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND backend_xmin IS NOT NULL")
	if held != 1 || pinned != 0 {
		t.Errorf("%d transactions hold leases, %d of them a snapshot", held, pinned)
	}
}
