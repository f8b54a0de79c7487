// Package retry says how long to wait before something that failed is tried again, and waits. It knows nothing of what
// is tried.
package retry

import (
	"context"
	"time"
)

// Delay returns how long to wait before attempt (from 0) is repeated: it doubles from first to most, and between half and
// all of it is drawn by random, which lies in [0,1], so that many waiters do not come back together.
func Delay(attempt int, first, most time.Duration, random float64) time.Duration {
	long := min(first<<min(attempt, 10), most)
	return long/2 + time.Duration(random*float64(long/2))
}

// Wait returns when d has passed or, with its error, when ctx ends before.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
