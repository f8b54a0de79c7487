// Package retry computes how long to wait before a retry, and waits.
package retry

import (
	"context"
	"time"
)

// Delay returns how long to wait after the given attempt (from 0). It doubles from first up to most; random, in [0,1], adds
// jitter: the result is between half and all of that, so that many waiters do not retry together.
func Delay(attempt int, first, most time.Duration, random float64) time.Duration {
	long := min(first<<min(attempt, 10), most)
	return long/2 + time.Duration(random*float64(long/2))
}

// Wait returns after d, or with the error of ctx if that ends first.
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
