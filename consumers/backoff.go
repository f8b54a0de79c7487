package consumers

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff returns how long to wait before attempt (from 0) is repeated: it doubles from 50 ms to 5 s, and between half
// and all of it is drawn by random, which lies in [0,1), so that many waiters do not come back together.
func Backoff(attempt int, random float64) time.Duration {
	const first, most = 50 * time.Millisecond, 5 * time.Second
	wait := most
	if attempt < 7 {
		wait = min(first<<attempt, most)
	}
	return wait/2 + time.Duration(random*float64(wait/2))
}

// pause waits before the next attempt; it returns early with the context's error.
func pause(ctx context.Context, attempt int) error {
	timer := time.NewTimer(Backoff(attempt, rand.Float64()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
