// Package actions holds every statement on the tables that serve a person's decisions and questions: users, policies, actions,
// forgotten_features, performed_actions, new_mails, idempotency_keys, chat_streams and chat_usage. It is their only writer. The
// API decides by them, and the relay restores them from the log by the same functions.
//
// It promises that a proposal is pending at most once for each mail and policy, that a decision is won once, by whoever
// comes first, that a manual action is recorded once, that a mail waits once to be
// put before the policies, and that forgets are numbered in their order among the decisions.
// These promises hold for callers that take the person's lock first: with Lock, in the transaction of the change.
//
// Most functions queue their statements on a pgx.Batch and fill in what they were given once the batch is read, so that a
// caller chooses what goes out together. A function that takes a context and a connection runs its statement at once.
//
// The package opens and commits no transaction, writes no event and knows nothing of HTTP or Kafka. It builds the events
// that its rows mean; internal/outbox stores them.
package actions

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/postgres"
)

// DB is a pool, a connection or a transaction.
type DB = postgres.DB

// queue adds a query whose rows become *into.
func queue[T any](b *pgx.Batch, doing string, into *[]T, scan pgx.RowToFunc[T], sql string, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		*into = list
		return nil
	})
}

// list runs a query at once and returns its rows.
func list[T any](ctx context.Context, db DB, doing string, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	found, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return found, nil
}
