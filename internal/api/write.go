package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
)

// Idempotent is part of the input of every POST.
type Idempotent struct {
	Key string `header:"Idempotency-Key" maxLength:"200" doc:"Repeats with the same key are answered as the first was for a week, and change nothing. Failed requests are not remembered."`
}

// answered is the output of a change.
type answered[T any] struct {
	Status  int
	EventID string `header:"X-Event-Id" doc:"The last event that this answer emitted; give it to ?wait= to read your own effect."`
	Body    T
}

// transaction is one change of a person's data, with the events that it emits.
type transaction struct {
	*postgres.Tx
	user, source string
	last         string // the ce_id of the last event of the answer
	emitted      []events.Type
}

// emit queues events for the outbox, in the order given.
func (tx *transaction) emit(list ...*events.Event) error {
	if err := outbox.Queue(tx.Batch(), list...); err != nil {
		return err
	}
	for _, e := range list {
		tx.emitted = append(tx.emitted, e.Type)
		tx.last = e.ID
	}
	return nil
}

// event builds an event of our own source about an action of the person.
func (tx *transaction) event(kind events.Type, a *actions.Action) *events.Event {
	return a.Event(kind, tx.user, tx.source)
}

// work is what a change does under the person's lock. first, which may be nil, queues statements that need nothing but the
// lock: they go out in one round trip with BEGIN and the lock. then uses their results and does the rest. An error of then
// rolls everything back. Both may run again after a deadlock and must not keep results of an earlier run.
type work[T any] struct {
	everybody bool // after a restore it waits for what concerns anybody, not only the person
	first     func(b *pgx.Batch, user string)
	then      func(ctx context.Context, tx *transaction) (T, error)
}

// waitsFor returns whose part of the log has to be read first, after a restore; empty: everybody's.
func (w *work[T]) waitsFor(person string) string {
	if w.everybody {
		return ""
	}
	return person
}

// How a change that met a deadlock is retried.
const (
	firstConflictPause = time.Millisecond
	mostConflictPause  = 10 * time.Millisecond
	conflictAttempts   = 3
)

// change does work in one transaction under the person's lock, once per idempotency key, and wakes the relay when there
// are events to send.
func change[T any](ctx context.Context, s *server, key string, status int, w work[T]) (answer *answered[T], err error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	source, err := s.source.get(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	err = retry.Until(ctx, firstConflictPause, mostConflictPause, func(attempt int) (err error) {
		answer, err = changeOnce(ctx, s, source, key, status, w)
		if postgres.Classify(err) != postgres.Conflict || attempt+1 == conflictAttempts {
			return retry.Stop(err)
		}
		return err
	})
	return answer, err
}

func changeOnce[T any](ctx context.Context, s *server, source, key string, status int, w work[T]) (*answered[T], error) {
	caller := auth.From(ctx)
	var earlier actions.Answer
	var recalled bool
	begun, err := postgres.Begin(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	defer begun.Rollback(ctx) // without effect after the commit
	actions.Lock(begun.Batch(), caller.ID, caller.CreatedAt)
	if key != "" {
		actions.Recall(begun.Batch(), caller.ID, key, &earlier, &recalled)
	}
	s.gate(begun.Batch(), w.waitsFor(caller.ID)) // within the transaction: the next one may be on another server
	if w.first != nil {
		w.first(begun.Batch(), caller.ID)
	}
	err = begun.Flush(ctx)
	switch {
	case errors.Is(err, actions.ErrErased): // since the request was authenticated
		return nil, errUnauthenticated()
	case recalled: // even if the request would fail now
		return answerAgain[T](ctx, &earlier, status)
	case errors.Is(err, outbox.ErrRestored):
		return nil, errBehind(ctx)
	case err != nil:
		return nil, err
	}
	tx := &transaction{Tx: begun, user: caller.ID, source: source}
	body, err := w.then(ctx, tx)
	if err != nil {
		return nil, err
	}
	answer := &answered[T]{Status: status, EventID: tx.last, Body: body}
	if key != "" {
		if err := remember(ctx, tx, key, answer); err != nil {
			return nil, err
		}
	}
	if err := tx.CommitQueued(ctx); err != nil {
		return nil, err
	}
	s.committed(tx)
	return answer, nil
}

func (s *server) committed(tx *transaction) {
	if len(tx.emitted) == 0 {
		return
	}
	s.wake()
	for _, kind := range tx.emitted {
		s.metrics.events.WithLabelValues(kind.String()).Inc()
	}
}

// answerAgain returns what an earlier request with the same key was answered.
func answerAgain[T any](ctx context.Context, earlier *actions.Answer, status int) (*answered[T], error) {
	if string(earlier.RequestHash) != string(requestHash(ctx)) {
		return nil, huma.Error422UnprocessableEntity("validation failed", &huma.ErrorDetail{
			Location: "header.Idempotency-Key", Message: "the key was used before, for another request"})
	}
	answer := &answered[T]{Status: status, EventID: earlier.EventID}
	if err := json.Unmarshal(earlier.Response, &answer.Body); err != nil {
		return nil, fmt.Errorf("read remembered answer: %w", err)
	}
	return answer, nil
}

func remember[T any](ctx context.Context, tx *transaction, key string, answer *answered[T]) error {
	response, err := json.Marshal(answer.Body)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	stored := actions.Answer{RequestHash: requestHash(ctx), Status: answer.Status, EventID: answer.EventID, Response: response}
	stored.Remember(tx.Batch(), tx.user, key)
	return nil
}

func checkKey(key string) error {
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' {
			return invalidField("header.Idempotency-Key", "a key has printable characters only")
		}
	}
	return nil
}

// errBehind answers a change that a restored database cannot take yet.
func errBehind(ctx context.Context) error {
	loggerFrom(ctx).Warn("change refused", "error", outbox.ErrRestored)
	return retryLater(huma.Error503ServiceUnavailable(
		"changes wait until the database, which was restored, has been brought up to date"), "5")
}

// source is the ce_source of this deployment, read once.
type source struct {
	mu    sync.Mutex
	value string
}

func (s *source) get(ctx context.Context, db outbox.Querier) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value != "" {
		return s.value, nil
	}
	value, err := outbox.Source(ctx, db)
	if err != nil {
		return "", err
	}
	s.value = value
	return value, nil
}
