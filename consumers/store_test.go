package consumers

import (
	"testing"
	"time"
)

func TestStorable(t *testing.T) {
	f := func(milliseconds int64, want bool) {
		t.Helper()
		if got := !storable(time.UnixMilli(milliseconds)).IsZero(); got != want {
			t.Errorf("%d ms is storable: %v, want %v", milliseconds, got, want)
		}
	}
	f(-1, false) // Kafka's mark for no time
	f(0, true)
	f(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), true)
	f(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).UnixMilli(), true)
	f(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), false)
	f(9_400_000_000_000_000, false) // what it becomes in microseconds PostgreSQL refuses
}
