package retry

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestDelayDoublesUpToABound(t *testing.T) {
	f := func(attempt int, random float64, want time.Duration) {
		t.Helper()
		if got := Delay(attempt, 50*time.Millisecond, 5*time.Second, random); got != want {
			t.Errorf("Delay(%d, …, %v) = %v, want %v", attempt, random, got, want)
		}
	}
	f(0, 1, 50*time.Millisecond)
	f(0, 0, 25*time.Millisecond)
	f(1, 0.5, 75*time.Millisecond)
	f(6, 1, 3200*time.Millisecond)
	f(7, 1, 5*time.Second)
	f(1_000_000, 1, 5*time.Second)
	f(1_000_000, 0, 2500*time.Millisecond)
}

func TestWaitEndsWithItsContext(t *testing.T) {
	if err := Wait(t.Context(), time.Millisecond); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Wait(ended, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait after the end of its context returns %v", err)
	}
}
