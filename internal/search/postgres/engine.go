// Package postgres searches the table that the mailbox fold writes. It is the engine of embedded deployments and of those
// without Elasticsearch.
//
// A search is one statement. An inverted index over the keys of internal/search/keys finds the mails with a combination of
// words and values; phrases are then checked in the stored text of those mails; dates, numbers and applications are read
// from columns. No part of a query becomes SQL: the statement is built from fixed fragments and placeholders.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/search"
)

// settings bound a search and make its plan independent of statistics, which do not describe single users: scanning the
// whole table is never right, and parallel workers cost more than they save.
const settings = `
SET LOCAL statement_timeout = '2s';
SET LOCAL work_mem = '64MB';
SET LOCAL enable_seqscan = off;
SET LOCAL max_parallel_workers_per_gather = 0`

// Engine implements search.Engine.
type Engine struct{ pool *pgxpool.Pool }

// New returns an engine on a migrated database.
func New(pool *pgxpool.Pool) *Engine { return &Engine{pool} }

// Search implements search.Engine.
func (e *Engine) Search(ctx context.Context, request search.Request) ([]search.Hit, error) {
	s := newStatement(request)
	text := s.search(request)
	var hits []search.Hit
	err := pgx.BeginTxFunc(ctx, e.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settings); err != nil {
			return err
		}
		// Prepared statements would be planned without knowing what is searched for.
		rows, err := tx.Query(ctx, text, append([]any{pgx.QueryExecModeExec}, s.args...)...)
		if err != nil {
			return err
		}
		hits, err = pgx.CollectRows(rows, scanHit)
		return err
	})
	if err != nil {
		return nil, failure(ctx, err)
	}
	return hits, nil
}

func scanHit(row pgx.CollectableRow) (search.Hit, error) {
	var hit search.Hit
	var id [16]byte
	var wishes int64
	if err := row.Scan(&id, &hit.ReceivedAt, &wishes); err != nil {
		return hit, err
	}
	hit.ID, hit.ReceivedAt = id, hit.ReceivedAt.UTC()
	for left := uint64(wishes); left != 0; left &= left - 1 {
		hit.Matched = append(hit.Matched, bits.TrailingZeros64(left))
	}
	return hit, nil
}

func failure(ctx context.Context, err error) error {
	const canceled = "57014" // by the statement's timeout, unless by the caller
	var refused *pgconn.PgError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("search mails: %w", ctx.Err())
	case errors.As(err, &refused) && refused.Code == canceled:
		return search.ErrTooSlow
	}
	return fmt.Errorf("search mails: %w", err)
}

// Indexed implements search.Engine: what is folded is found.
func (e *Engine) Indexed(context.Context, string, time.Time) (bool, error) { return true, nil }
