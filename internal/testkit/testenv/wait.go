package testenv

import (
	"context"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/retry"
)

// Eventually calls look at intervals until it returns nil. After patience it fails the test with the last error.
func Eventually(t testing.TB, patience, every time.Duration, what string, look func() error) {
	t.Helper()
	err := retry.Within(context.Background(), patience, every, every, func(int) error { return look() })
	if err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}
