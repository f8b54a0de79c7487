// Package retry computes how long to wait before a retry, waits, and repeats what failed or ended.
package retry

import (
	"context"
	"errors"
	"math/rand/v2"
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

// Until calls try, with the number of the attempt from 0, until it returns nil. Between attempts it waits by Delay, with
// jitter. It returns ctx's error when ctx ends, and the error at once that try hands to Stop.
func Until(ctx context.Context, first, most time.Duration, try func(attempt int) error) error {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		err := try(attempt)
		if err == nil {
			return nil
		}
		var stop *stopped
		if errors.As(err, &stop) {
			return stop.err
		}
		if err := Wait(ctx, Delay(attempt, first, most, rand.Float64())); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Within is Until for at most limit: it begins no further attempt after that, and returns the error of the last one.
func Within(ctx context.Context, limit, first, most time.Duration, try func(attempt int) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	err := Until(limited, first, most, func(attempt int) error {
		last = try(attempt)
		return last
	})
	if late := err != nil && err == limited.Err() && ctx.Err() == nil; late && last != nil {
		return last
	}
	return err
}

// lasting is how long work has to run for the delays to start again with the shortest.
const lasting = time.Minute

// Always calls work, which is meant to run until ctx ends, again whenever it returns. Before each further call it waits by
// Delay, with jitter. work gets the number of calls, from 0, since it last ran for more than a minute.
func Always(ctx context.Context, first, most time.Duration, work func(attempt int)) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		began := time.Now()
		work(attempt)
		if time.Since(began) > lasting {
			attempt = 0
		}
		_ = Wait(ctx, Delay(attempt, first, most, rand.Float64())) // the loop looks at ctx
	}
}

// AtMost calls work and returns when it has ended, and tells whether it has: after limit it is left to itself. It is for closing what
// may hang, by a caller that is about to end.
func AtMost(limit time.Duration, work func()) (ended bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// CutAfter cancels a context when a time has passed since another one ended, unless it ends before. It is for work that a caller that is
// told to end lets finish, for a while.
func CutAfter(ended context.Context, after time.Duration, work context.Context, cancel context.CancelFunc) (stop func() bool) {
	return context.AfterFunc(ended, func() {
		defer cancel()
		_ = Wait(work, after)
	})
}

// Stop marks an error of a try after which Until makes no further attempt. It returns nil for nil.
func Stop(err error) error {
	if err == nil {
		return nil
	}
	return &stopped{err}
}

type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }
func (s *stopped) Unwrap() error { return s.err }
