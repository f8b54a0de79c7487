package retry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
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

var errAway = errors.New("away")

func TestUntilTriesAgainWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const first, most = 100 * time.Millisecond, time.Second
		var at []time.Duration
		start := time.Now()
		err := Until(t.Context(), first, most, func(attempt int) error {
			if attempt != len(at) {
				t.Errorf("attempt %d follows %d others", attempt, len(at))
			}
			if at = append(at, time.Since(start)); len(at) < 8 {
				return errAway
			}
			return nil
		})
		if err != nil || len(at) != 8 {
			t.Fatalf("%v after %d attempts", err, len(at))
		}
		jitter := false
		for i, long := range []time.Duration{1, 2, 4, 8, 10, 10, 10} {
			waited, long := at[i+1]-at[i], long*first
			if waited < long/2 || waited > long {
				t.Errorf("waited %v after attempt %d, want %v to %v", waited, i, long/2, long)
			}
			jitter = jitter || waited != at[1]*long/first
		}
		if !jitter {
			t.Error("there is no jitter")
		}
	})
}

func TestUntilEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		attempts := 0
		err := Until(ctx, time.Second, 10*time.Second, func(int) error { attempts++; return errAway })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("%v after %v, want the context's error after a minute", err, time.Since(start))
		}
		before := attempts
		if err := Until(ctx, time.Second, time.Second, func(int) error { attempts++; return nil }); !errors.Is(err, context.DeadlineExceeded) || attempts != before {
			t.Errorf("%v and %d attempts with a context that has ended", err, attempts-before)
		}
	})
}

func TestWithinReturnsTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = time.Second
		try := func(attempt int) error { return fmt.Errorf("attempt %d: %w", attempt, errAway) }
		start := time.Now()
		if err := Within(t.Context(), time.Minute, every, every, try); !errors.Is(err, errAway) || time.Since(start) != time.Minute {
			t.Errorf("%v after %v, want the last error after a minute", err, time.Since(start))
		}
		if err := Within(t.Context(), time.Minute, every, every, func(int) error { return Stop(errAway) }); err != errAway {
			t.Errorf("%v, want the error that was given to Stop", err)
		}
		if err := Within(t.Context(), time.Minute, every, every, func(int) error { return nil }); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Within(ctx, time.Minute, every, every, try); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errAway) {
			t.Errorf("%v, want the context's error", err)
		}
	})
}

// Short work is repeated after growing delays, work that ran for more than a minute after the shortest.
func TestAlwaysStartsAgainAfterLongWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const first, most = 100 * time.Millisecond, time.Second
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		lasts := []time.Duration{0, time.Minute, 0, 2 * time.Minute, 0, 0}
		attempts, long := []int{0, 1, 2, 3, 1, 2}, []time.Duration{first, 2 * first, 4 * first, first, 2 * first}
		calls := 0
		var ended time.Time
		Always(ctx, first, most, func(attempt int) {
			if attempt != attempts[calls] {
				t.Errorf("call %d gets attempt %d, want %d", calls, attempt, attempts[calls])
			}
			if calls > 0 {
				if waited := time.Since(ended); waited < long[calls-1]/2 || waited > long[calls-1] {
					t.Errorf("waited %v before call %d, want %v to %v", waited, calls, long[calls-1]/2, long[calls-1])
				}
			}
			time.Sleep(lasts[calls])
			ended = time.Now()
			if calls++; calls == len(lasts) {
				cancel()
			}
		})
		if calls != len(lasts) || time.Since(ended) != 0 {
			t.Errorf("%d calls, and it returned %v after its context", calls, time.Since(ended))
		}
	})
}

func TestUntilStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		for _, stop := range []error{Stop(errAway), fmt.Errorf("wrapped: %w", Stop(errAway))} {
			if err := Until(t.Context(), time.Hour, time.Hour, func(int) error { return stop }); err != errAway {
				t.Errorf("%v, want the error that was given to Stop", err)
			}
		}
		if err := Until(t.Context(), time.Hour, time.Hour, func(int) error { return Stop(nil) }); err != nil {
			t.Error(err)
		}
		if time.Since(start) != 0 {
			t.Errorf("it waited %v", time.Since(start))
		}
	})
}
