package api

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// turnLength is how long a request may compute while others wait for a turn.
	turnLength = 10 * time.Millisecond

	// computeFor is how long one request may compute at all.
	computeFor = 10 * time.Second
)

// errProcessorTime tells that a request computed for as long as it may.
var errProcessorTime = errors.New("the processor time of the request is used up")

// processor lends processors to requests that compute: half of them at most, in turns, so that all others are answered at
// once. A person has few requests that wait for a turn, and turns go round, so persons share what there is. It is safe for
// concurrent use.
type processor struct {
	now     func() time.Time
	turns   chan struct{} // holds an element for each turn that is taken; who waits gets one in order
	waiting atomic.Int64
}

func newProcessor() *processor {
	return &processor{now: time.Now, turns: make(chan struct{}, max(runtime.GOMAXPROCS(0)/2, 1))}
}

// run computes in turns. work has to call pause between small steps: it lets others have their turns, and returns an error when
// work has to end, errProcessorTime or the context's. Every later call returns an error too.
func (p *processor) run(ctx context.Context, most time.Duration, work func(pause func() error) error) error {
	t := &turn{processor: p, left: most}
	defer t.give()
	if err := t.take(ctx); err != nil {
		return err
	}
	return work(func() error { return t.pause(ctx) })
}

// turn is one request's use of the processors. It belongs to one goroutine.
type turn struct {
	*processor
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
		return errProcessorTime
	case ctx.Err() != nil:
		return fmt.Errorf("compute: %w", ctx.Err())
	case now.Sub(t.began) < turnLength:
		return nil
	case t.waiting.Load() == 0:
		t.began = now
		runtime.Gosched() // for requests that need no turn
		return nil
	}
	t.give()
	return t.take(ctx)
}
