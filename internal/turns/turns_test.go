package turns

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/testkit/testenv"
)

// clocked lends one processor, whose clock only a test moves.
type clocked struct {
	*Processors
	at atomic.Int64
}

func newClocked() *clocked {
	c := &clocked{Processors: New()}
	c.turns = make(chan struct{}, 1)
	c.now = func() time.Time { return time.Unix(0, c.at.Load()) }
	return c
}

func (c *clocked) pass(d time.Duration) { c.at.Add(int64(d)) }

// returned holds that nobody has a turn any more.
func (c *clocked) returned(t *testing.T) {
	t.Helper()
	if n := len(c.turns); n != 0 {
		t.Errorf("%d turns are still taken", n)
	}
}

func (c *clocked) untilWaiting(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, 30*time.Second, time.Millisecond, "other work waits", func() error {
		if c.waiting.Load() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
}

// TestTurnsGoRound: who computes for long lets others compute in between.
func TestTurnsGoRound(t *testing.T) {
	c := newClocked()
	var others atomic.Int64
	err := c.Run(t.Context(), time.Hour, func(pause func() error) error {
		for i := range int64(3) {
			done := make(chan error)
			go func() {
				done <- c.Run(t.Context(), time.Hour, func(func() error) error {
					others.Add(1)
					return nil
				})
			}()
			c.untilWaiting(t)
			c.pass(turnLength / 2)
			if err := pause(); err != nil || others.Load() != i {
				t.Errorf("before the end of a turn: %d others, %v", others.Load(), err)
			}
			c.pass(turnLength / 2)
			if err := pause(); err != nil || others.Load() != i+1 {
				t.Errorf("after %d turns: %d others, %v", i+1, others.Load(), err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	c.returned(t)
}

func TestProcessorTimeIsBounded(t *testing.T) {
	c := newClocked()
	var paused []error
	err := c.Run(t.Context(), time.Second, func(pause func() error) error {
		for range 4 {
			c.pass(400 * time.Millisecond)
			paused = append(paused, pause())
		}
		return paused[3]
	})
	if paused[0] != nil || paused[1] != nil || !errors.Is(paused[2], ErrTime) || !errors.Is(err, ErrTime) {
		t.Errorf("%v, then %v", paused, err)
	}
	c.returned(t)
}

// TestWaitingIsNoProcessorTime: nor does it count for the turn.
func TestWaitingIsNoProcessorTime(t *testing.T) {
	c := newClocked()
	err := c.Run(t.Context(), time.Second, func(pause func() error) error {
		done := make(chan error)
		go func() {
			done <- c.Run(t.Context(), time.Hour, func(func() error) error {
				c.pass(time.Minute)
				return nil
			})
		}()
		c.untilWaiting(t)
		c.pass(turnLength)
		if err := pause(); err != nil {
			return err
		}
		return errors.Join(pause(), <-done)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestComputingEndsWithItsContext(t *testing.T) {
	c := newClocked()
	ctx, leave := context.WithCancel(t.Context())
	err := c.Run(ctx, time.Second, func(pause func() error) error {
		leave()
		if err := c.Run(ctx, time.Second, func(func() error) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("while it waits for a turn: %v", err)
		}
		return pause()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("while it computes: %v", err)
	}
	c.returned(t)
}
