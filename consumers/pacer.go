package consumers

import (
	"context"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/retry"
)

// pacer holds back a worker of a version that is being built, as its row asks. It follows the row, and how many processes
// share the rate, within a second, also while it waits.
type pacer struct {
	s          *session
	partitions int // of this worker

	looked time.Time
	pace   ledger.Pace
	next   time.Time // when the next batch may be read
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

// share is this worker's part of the rate: every partition that any process folds has the same.
func (p *pacer) share() int {
	if p.pace.Throttle == 0 {
		return 0
	}
	return max(1, p.pace.Throttle*p.partitions/max(p.pace.Leases, len(p.s.parts)))
}

// bound keeps a batch within what may be read in a second.
func (p *pacer) bound(limit int) int {
	if p.pace.Throttle == 0 {
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
		if p.pace.Throttle == 0 || left <= 0 {
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
		pace, err := p.s.log.Pace(ctx, p.s.cfg.Pool)
		if err == nil && !pace.Paused {
			p.pace, p.looked = pace, time.Now()
			return nil
		}
		if err := retry.Wait(ctx, pausedPoll); err != nil {
			return err
		}
	}
}

// pausedPoll is how often a paused version looks whether it may go on.
const pausedPoll = 500 * time.Millisecond
