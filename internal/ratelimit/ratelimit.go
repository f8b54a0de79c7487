// Package ratelimit gives each of many callers a token bucket and forgets those that are idle. It knows nothing of who the callers
// are: a person, an address. It counts in this process alone.
package ratelimit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// idle is how long a caller's bucket is kept after its last use. It has to be full again by then.
const idle = 10 * time.Minute

// Limiter has a bucket for each caller. It is safe for concurrent use.
type Limiter struct {
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

// New returns a limiter whose buckets hold burst tokens and get perSecond of them.
func New(perSecond float64, burst int) *Limiter {
	return &Limiter{rate: rate.Limit(perSecond), burst: burst, buckets: map[string]*bucket{}}
}

// Take takes a token of a caller, or tells how long to wait for one.
func (l *Limiter) Take(caller string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	b := l.buckets[caller]
	if b == nil {
		b = &bucket{tokens: rate.NewLimiter(l.rate, l.burst)}
		l.buckets[caller] = b
	}
	b.used = now
	reservation := b.tokens.ReserveN(now, 1)
	if wait := reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// Has tells whether a caller could take a token.
func (l *Limiter) Has(caller string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[caller]
	return b == nil || b.tokens.TokensAt(now) >= 1
}

func (l *Limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < idle {
		return
	}
	l.swept = now
	for caller, b := range l.buckets {
		if now.Sub(b.used) > idle {
			delete(l.buckets, caller)
		}
	}
}
