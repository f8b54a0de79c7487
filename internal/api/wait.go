package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/outbox"
)

const (
	firstPause   = 2 * time.Millisecond
	longestPause = 10 * time.Millisecond
	maxPatience  = 30 * time.Second
)

// waitErrors are the errors that ?wait= adds to an operation.
var waitErrors = []int{http.StatusNotFound, http.StatusGatewayTimeout}

// Waiting is part of the input of operations that read a projection.
type Waiting struct {
	Wait    string `query:"wait" maxLength:"200" doc:"The X-Event-Id of an answer: answer when that event has been folded, 504 when it was not in time."`
	Timeout string `query:"timeout" default:"5s" doc:"How long to wait, such as 500ms or 5s; at most 30s."`
}

// patience returns how long the caller waits at most; 0 without Wait or when Timeout is invalid.
func (w *Waiting) patience() time.Duration {
	if w.Wait == "" {
		return 0
	}
	timeout, _ := w.timeout()
	return timeout
}

func (w *Waiting) timeout() (time.Duration, error) {
	timeout, err := time.ParseDuration(w.Timeout)
	if err != nil || timeout < 0 || timeout > maxPatience {
		return 0, invalidField("query.timeout", "expected a duration such as 500ms or 5s, at most 30s")
	}
	return timeout, nil
}

// waitFor returns when the live version of group has folded the event that the caller waits for, or at once if the caller
// waits for none.
func (s *server) waitFor(ctx context.Context, w *Waiting, group, topic string) error {
	timeout, err := w.timeout()
	if err != nil || w.Wait == "" {
		return err
	}
	return s.awaitFolded(ctx, w, time.Now().Add(timeout), group, topic)
}

// waitForSearch returns when searches see what the event that the caller waits for has changed: mail or learned weights.
// It waits for both groups; a group that does not read the event's topic counts as done.
func (s *server) waitForSearch(ctx context.Context, w *Waiting) error {
	timeout, err := w.timeout()
	if err != nil || w.Wait == "" {
		return err
	}
	end := time.Now().Add(timeout)
	if err := s.awaitFolded(ctx, w, end, "weights", events.TopicActions); err != nil {
		return err
	}
	if err := s.awaitFolded(ctx, w, end, "mailbox", events.TopicMail); err != nil {
		return err
	}
	asked := time.Now()
	return await(ctx, end, "the event was not indexed in time; it is not lost", func() (bool, error) {
		indexed, err := s.engine.Indexed(ctx, auth.From(ctx).ID, asked)
		return indexed, engineProblem(ctx, err)
	})
}

func (s *server) awaitFolded(ctx context.Context, w *Waiting, end time.Time, group, topic string) error {
	return await(ctx, end, "the event was not folded in time; it is not lost", func() (bool, error) {
		return s.folded(ctx, auth.From(ctx).ID, w.Wait, group, topic)
	})
}

// await calls done until it returns true, at least once, and answers 504 after end. It checks the time between calls only,
// since a cancelled query costs its connection.
func await(ctx context.Context, end time.Time, late string, done func() (bool, error)) error {
	for pause := firstPause; ; pause = min(pause*3/2, longestPause) {
		if yes, err := done(); yes || err != nil {
			return err
		}
		left := time.Until(end)
		if left <= 0 {
			return huma.Error504GatewayTimeout(late)
		}
		if err := rest(ctx, min(pause, left)); err != nil {
			return err
		}
	}
}

func (s *server) folded(ctx context.Context, user, event, group, topic string) (bool, error) {
	folded, err := outbox.Folded(ctx, s.pool, event, user, group, topic)
	if errors.Is(err, outbox.ErrNotFound) {
		return false, notFound("event")
	}
	return folded, err
}
