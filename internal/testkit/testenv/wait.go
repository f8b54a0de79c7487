package testenv

import (
	"testing"
	"time"
)

// Eventually calls look now and then until it returns nil, and fails the test with its last error when patience is over.
func Eventually(t testing.TB, patience, every time.Duration, what string, look func() error) {
	t.Helper()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waiting until %s: %v", what, err)
		}
	}
}
