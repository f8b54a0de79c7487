package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/retry"
)

// What one person may have under way, so that nobody else's answers wait for it: requests from the first byte of the body to
// the end of the answer, and of those the ones that run. Running ones hold a connection to PostgreSQL most of the time; costly
// ones compute too, and are counted apart, so that a person's own other requests go on.
const (
	mostRequests  = 128
	mostAtOnce    = 8
	mostCostly    = 2
	costlyWaiting = 32
	slotPatience  = 5 * time.Second
)

// shares divides the connections of a pool: one person's requests of both kinds together leave some to the others.
func shares(connections int) (atOnce, costly int) {
	return min(max(connections/2, 1), mostAtOnce), min(max(connections/4, 1), mostCostly)
}

// costlyMark marks in an operation's metadata that it may compute for seconds.
const costlyMark = "costly"

func costly(op huma.Operation) huma.Operation {
	op.Metadata = map[string]any{costlyMark: true}
	return op
}

// streamingMark marks an operation whose answer goes on for long. It runs in slots of its own, and takes one of the others for what it
// reads and computes.
const streamingMark = "streaming"

// mostStreams bounds the streams of one person. anybody stands for all persons together.
const (
	mostStreams = 4
	anybody     = ""
)

func streaming(op huma.Operation) huma.Operation {
	op.Metadata = map[string]any{streamingMark: true}
	return op
}

// admit is the middleware that bounds what a person has under way at all.
func (s *server) admit(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		person := auth.From(ctx.Context()).ID
		if err := s.requests.enter(ctx.Context(), person); err != nil {
			refuse(api, ctx, s.requests.problem(ctx.Context(), err))
			return
		}
		defer s.requests.leave(person)
		next(ctx)
	}
}

// takeSlot is the middleware that lets an operation run when its person has a slot.
func (s *server) takeSlot(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		held := &slot{of: s.ordinary, person: auth.From(ctx.Context()).ID}
		switch {
		case ctx.Operation().Metadata[costlyMark] != nil:
			held.of = s.costly
		case ctx.Operation().Metadata[streamingMark] != nil:
			held.of = s.streams
			if err := s.allStreams.enter(ctx.Context(), anybody); err != nil {
				refuse(api, ctx, s.allStreams.problem(ctx.Context(), errFull))
				return
			}
			defer s.allStreams.leave(anybody)
		}
		bounded, cancel := context.WithTimeout(ctx.Context(), answerWithin)
		err := held.of.enter(bounded, held.person)
		cancel()
		if err != nil {
			refuse(api, ctx, held.of.problem(ctx.Context(), err))
			return
		}
		held.held = true
		defer held.leave()
		next(huma.WithValue(ctx, slotKey{}, held))
	}
}

// problem is the answer to a request that gets no slot.
func (s *slots) problem(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errFull):
		return retryLater(huma.Error503ServiceUnavailable("as many answers as may are being streamed: try again soon"), "5")
	case errors.Is(err, errOutOfTurn):
		return retryLater(huma.NewError(http.StatusTooManyRequests,
			fmt.Sprintf("your other requests kept this one waiting for %s: send fewer at once", s.patience)), "5")
	case errors.Is(err, errNoRoom) && s.waiting == 0:
		return retryLater(huma.NewError(http.StatusTooManyRequests,
			fmt.Sprintf("you have %d requests under way: wait for an answer before you send another", s.atOnce)), "1")
	case errors.Is(err, errNoRoom):
		return retryLater(huma.NewError(http.StatusTooManyRequests,
			fmt.Sprintf("you have %d requests of this kind under way and %d waiting: wait for an answer before you send another", s.atOnce, s.waiting)), "5")
	}
	return problemOf(ctx, err)
}

// slot is what a running operation holds. It belongs to one goroutine.
type slot struct {
	of     *slots
	person string
	held   bool
}

type slotKey struct{}

func (h *slot) leave() {
	if h.held {
		h.held = false
		h.of.leave(h.person)
	}
}

// costing does what computes or searches, in a costly slot of the person, for an operation that is marked as streaming. It has as
// long as an operation that is not.
func (s *server) costing(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	held := &slot{of: s.costly, person: auth.From(ctx).ID}
	if err := s.costly.enter(ctx, held.person); err != nil {
		return s.costly.problem(ctx, err)
	}
	held.held = true
	defer held.leave()
	return work(context.WithValue(ctx, slotKey{}, held))
}

// rest waits, and gives the operation's slot to others of the person meanwhile.
func rest(ctx context.Context, d time.Duration) error {
	return unslotted(ctx, func() error { return retry.Wait(ctx, d) })
}

// unslotted does what needs neither the database nor the processor, and gives the operation's slot to others of the person meanwhile.
func unslotted(ctx context.Context, work func() error) error {
	held, ok := ctx.Value(slotKey{}).(*slot)
	if !ok {
		return work()
	}
	held.leave()
	if err := work(); err != nil {
		return err
	}
	err := held.of.reenter(ctx, held.person)
	held.held = err == nil
	return err
}
