package consumers

import (
	"context"
	"time"

	"github.com/applylens/applylens/internal/retry"
)

// pacer holds back a worker of a version that is being built, as its row asks. It follows the row within a second, also
// while it waits.
type pacer struct {
	s       *session
	workers int // that share the version's rate

	looked   time.Time
	throttle int       // records per second of all workers; 0: no bound
	next     time.Time // when the next batch may be read
}

// took notes how many records a batch had.
func (p *pacer) took(records int) { p.next = dueAfter(p.next, time.Now(), records, p.share()) }

// dueAfter returns when the next batch is due after one of so many records; perSecond 0 is no bound. What was not used
// up to now is not saved for later.
func dueAfter(due, now time.Time, records, perSecond int) time.Time {
	if perSecond == 0 {
		return now
	}
	if due.Before(now) {
		due = now
	}
	return due.Add(time.Duration(records) * time.Second / time.Duration(perSecond))
}

// share is this worker's part of the rate.
func (p *pacer) share() int {
	if p.throttle == 0 {
		return 0
	}
	return max(1, p.throttle/p.workers)
}

// bound keeps a batch within what may be read in a second.
func (p *pacer) bound(limit int) int {
	if p.throttle == 0 {
		return limit
	}
	return min(limit, p.share())
}

// wait returns when the next batch may be read.
func (p *pacer) wait(ctx context.Context) error {
	if !p.s.log.Shadow {
		return nil
	}
	for {
		if time.Since(p.looked) > time.Second {
			if err := p.look(ctx); err != nil {
				return err
			}
		}
		left := time.Until(p.next)
		if p.throttle == 0 || left <= 0 {
			return nil
		}
		if err := retry.Wait(ctx, min(left, time.Second)); err != nil {
			return err
		}
	}
}

// look reads the row, as long as the version is paused or PostgreSQL is away.
func (p *pacer) look(ctx context.Context) error {
	for {
		throttle, paused, err := p.s.log.Pace(ctx, p.s.cfg.Pool)
		if err == nil && !paused {
			p.throttle, p.looked = throttle, time.Now()
			return nil
		}
		if err := retry.Wait(ctx, pausedPoll); err != nil {
			return err
		}
	}
}

// pausedPoll is how often a paused version looks whether it may go on.
const pausedPoll = 500 * time.Millisecond
