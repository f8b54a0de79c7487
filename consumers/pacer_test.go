package consumers

import (
	"testing"
	"time"
)

func TestDueAfter(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	f := func(due time.Time, records, perSecond int, want time.Duration) {
		t.Helper()
		if got := dueAfter(due, now, records, perSecond).Sub(now); got != want {
			t.Errorf("due in %v, want %v", got, want)
		}
	}
	f(now.Add(-time.Hour), 500, 1000, 500*time.Millisecond) // an hour of rest earns nothing
	f(now.Add(time.Second), 500, 1000, 1500*time.Millisecond)
	f(now, 400_000, 1, 400_000*time.Second)
	f(now, 400_000, 0, 0)
}
