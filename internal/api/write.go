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
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
)

// lockUser puts the changes of one person into one order: transactions that hold it commit one after the other, so
// that commit, outbox and log agree. It does not block readers, nor rows that only refer to the person. What it returns
// is read under the lock: nothing when the person who asked was erased meanwhile, also if somebody has the id again.
const lockUser = `SELECT forgets FROM users WHERE id = $1 AND created_at = $2 FOR NO KEY UPDATE`

// selectIdempotency finds what an earlier request with the key was answered.
const selectIdempotency = `SELECT request_hash, event_id, response FROM idempotency_keys WHERE user_id = $1 AND key = $2`

// insertIdempotency remembers an answer in the transaction that made it true.
const insertIdempotency = `
INSERT INTO idempotency_keys (user_id, key, request_hash, status, event_id, response)
VALUES ($1, $2, $3, $4, $5, $6)`

// forgetIdempotency ends the memory of a person's answers after a week.
const forgetIdempotency = `DELETE FROM idempotency_keys WHERE user_id = $1 AND created_at < now() - interval '7 days'`

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
	pgx.Tx
	user    string
	since   time.Time // when the person was created
	forgets int       // how often the person has forgotten something
	source  string
	last    string // the ce_id of the last event of the answer
	emitted []events.Type
}

// emit writes events to the outbox, in the order given.
func (tx *transaction) emit(ctx context.Context, list ...*events.Event) error {
	if len(list) == 0 {
		return nil
	}
	if err := outbox.Add(ctx, tx.Tx, list...); err != nil {
		return err
	}
	for _, e := range list {
		tx.emitted = append(tx.emitted, e.Type)
	}
	tx.last = list[len(list)-1].ID
	return nil
}

// event starts an event of our own source about an action. Its id follows from what it means, so that an event that
// was emitted before can be named again.
func (tx *transaction) event(kind events.Type, a *action) *events.Event {
	e := a.event(kind, tx.user)
	e.Source = tx.source
	e.ID = events.EffectID(e).String()
	return e
}

// change runs work in one transaction under the person's lock, once per idempotency key, and tells the relay when
// there is something to send. Work may run again after a deadlock and must not keep what an earlier run found.
func change[T any](ctx context.Context, s *server, key string, status int, work func(context.Context, *transaction) (T, error)) (*answered[T], error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	source, err := s.source.get(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		caller := auth.From(ctx)
		answer, err := changeOnce(ctx, s, &transaction{user: caller.ID, since: caller.CreatedAt, source: source}, key, status, work)
		if err != nil && postgres.Classify(err) == postgres.Conflict && attempt < 3 {
			continue
		}
		return answer, err
	}
}

func changeOnce[T any](ctx context.Context, s *server, tx *transaction, key string, status int, work func(context.Context, *transaction) (T, error)) (answer *answered[T], err error) {
	if tx.Tx, err = s.pool.Begin(ctx); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // without effect after the commit
	err = tx.QueryRow(ctx, lockUser, tx.user, tx.since).Scan(&tx.forgets)
	if errors.Is(err, pgx.ErrNoRows) { // erased since the request was authenticated
		return nil, errUnauthenticated()
	}
	if err != nil {
		return nil, fmt.Errorf("lock user: %w", err)
	}
	if key != "" {
		if answer, err := recall[T](ctx, tx, key, status); answer != nil || err != nil {
			return answer, err
		}
	}
	body, err := work(ctx, tx)
	if err != nil {
		return nil, err
	}
	answer = &answered[T]{Status: status, EventID: tx.last, Body: body}
	if key != "" {
		if err := remember(ctx, tx, key, answer); err != nil {
			return nil, err
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
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

// recall returns the remembered answer of a key; nil when there is none.
func recall[T any](ctx context.Context, tx *transaction, key string, status int) (*answered[T], error) {
	var hash, response []byte
	answer := &answered[T]{Status: status}
	err := tx.QueryRow(ctx, selectIdempotency, tx.user, key).Scan(&hash, &answer.EventID, &response)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("recall answer: %w", err)
	}
	if string(hash) != string(requestHash(ctx)) {
		return nil, huma.Error422UnprocessableEntity("validation failed", &huma.ErrorDetail{
			Location: "header.Idempotency-Key", Message: "the key was used before, for another request"})
	}
	if err := json.Unmarshal(response, &answer.Body); err != nil {
		return nil, fmt.Errorf("read remembered answer: %w", err)
	}
	return answer, nil
}

func remember[T any](ctx context.Context, tx *transaction, key string, answer *answered[T]) error {
	response, err := json.Marshal(answer.Body)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	if _, err := tx.Exec(ctx, forgetIdempotency, tx.user); err != nil {
		return fmt.Errorf("forget answers: %w", err)
	}
	_, err = tx.Exec(ctx, insertIdempotency, tx.user, key, requestHash(ctx), answer.Status, answer.EventID, response)
	if err != nil {
		return fmt.Errorf("remember answer: %w", err)
	}
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

// open asks the gate.
func (s *server) open(ctx context.Context) error {
	err := s.gate(ctx)
	if err == nil || unreachable(err) {
		return err
	}
	loggerFrom(ctx).Warn("decision refused by the gate", "error", err)
	return retryLater(huma.Error503ServiceUnavailable(
		"decisions wait until the database, which was restored, has been brought up to date"), "5")
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
