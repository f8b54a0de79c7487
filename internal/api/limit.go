package api

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// idleLimiter is how long a person's bucket is kept after their last request; it is full again long before.
const idleLimiter = 10 * time.Minute

// limiter gives each person a token bucket. It is safe for concurrent use.
type limiter struct {
	rate  rate.Limit
	burst int

	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	tokens *rate.Limiter
	used   time.Time
}

func newLimiter(perSecond float64, burst int) *limiter {
	return &limiter{rate: rate.Limit(perSecond), burst: burst, buckets: map[string]*bucket{}}
}

// allow takes one token of a person, or tells how long to wait for one.
func (l *limiter) allow(user string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	b := l.buckets[user]
	if b == nil {
		b = &bucket{tokens: rate.NewLimiter(l.rate, l.burst)}
		l.buckets[user] = b
	}
	b.used = now
	reservation := b.tokens.ReserveN(now, 1)
	if wait := reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return wait, false
	}
	return 0, true
}

func (l *limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < idleLimiter {
		return
	}
	l.swept = now
	for user, b := range l.buckets {
		if now.Sub(b.used) > idleLimiter {
			delete(l.buckets, user)
		}
	}
}
