// Package turns lends processors to work that computes for long, in turns, so that everything else in the process is answered
// at once.
package turns

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// turnLength is how long work may compute while other work waits for a turn.
const turnLength = 10 * time.Millisecond

// ErrTime tells that work computed for as long as it may.
var ErrTime = errors.New("the processor time of this work is used up")

// Processors are lent to work that computes: half of those of the machine at most, in turns that go round, so that all share
// what there is. They are safe for concurrent use.
type Processors struct {
	now     func() time.Time
	turns   chan struct{} // holds an element for each turn that is taken; who waits gets one in order
	waiting atomic.Int64
}

// New returns half of the processors of the machine, and at least one.
func New() *Processors {
	return &Processors{now: time.Now, turns: make(chan struct{}, max(runtime.GOMAXPROCS(0)/2, 1))}
}

// Run computes in turns. work has to call pause between small steps: it lets others have their turns, and returns an error when
// work has to end, ErrTime once it has computed for longer than most, or the context's. Every later call returns an error too.
func (p *Processors) Run(ctx context.Context, most time.Duration, work func(pause func() error) error) error {
	t := &turn{Processors: p, left: most}
	defer t.give()
	if err := t.take(ctx); err != nil {
		return err
	}
	return work(func() error { return t.pause(ctx) })
}

// turn is the use that one piece of work makes of the processors. It belongs to one goroutine.
type turn struct {
	*Processors
	held  bool
	began time.Time     // of this turn
	seen  time.Time     // up to which time is counted
	left  time.Duration // of the processor time
}

func (t *turn) take(ctx context.Context) error {
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	select {
	case t.turns <- struct{}{}:
		t.held = true
		t.began = t.now()
		t.seen = t.began
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a processor: %w", ctx.Err())
	}
}

func (t *turn) give() {
	if t.held {
		t.held = false
		<-t.turns
	}
}

func (t *turn) pause(ctx context.Context) error {
	now := t.now()
	t.left -= now.Sub(t.seen)
	t.seen = now
	switch {
	case t.left < 0:
		return ErrTime
	case ctx.Err() != nil:
		return fmt.Errorf("compute: %w", ctx.Err())
	case now.Sub(t.began) < turnLength:
		return nil
	case t.waiting.Load() == 0:
		t.began = now
		runtime.Gosched() // for work that needs no turn
		return nil
	}
	t.give()
	return t.take(ctx)
}
