package warehouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/printable"
)

// lockForForget takes the lock of a source until the transaction ends, unless a sync has it.
const lockForForget = `SELECT pg_try_advisory_xact_lock(hashtextextended('applylens warehouse ' || $1, 0))`

// forgetSystems, forgetPositions and forgetSource delete what is kept of a source. The states of its applications stay, for the
// next source that has their systems.
const (
	forgetSystems   = `DELETE FROM warehouse_systems WHERE source = $1`
	forgetPositions = `DELETE FROM warehouse_positions WHERE source = $1`
	forgetSource    = `DELETE FROM warehouse_sources WHERE source = $1`
)

// ErrNoSource tells that a source was never synced.
var ErrNoSource = errors.New("there is no such source")

// Forget deletes the state of a source that is none any more, such as one with a mistyped address. It frees its systems for
// other sources; applications that it published stay until another source has their systems. The error is ErrNoSource for a
// source that was never synced, and ErrBusy while it is synced.
func Forget(ctx context.Context, pool *pgxpool.Pool, source string, who Acceptance) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var locked bool
		if err := tx.QueryRow(ctx, lockForForget, source).Scan(&locked); err != nil {
			return fmt.Errorf("lock the source: %w", err)
		}
		if !locked {
			return ErrBusy
		}
		for _, statement := range []string{forgetSystems, forgetPositions, forgetSource} {
			tag, err := tx.Exec(ctx, statement, source)
			if err != nil {
				return fmt.Errorf("forget the source: %w", err)
			}
			if statement == forgetSource && tag.RowsAffected() == 0 {
				return ErrNoSource
			}
		}
		if _, err := tx.Exec(ctx, insertAudit, shorten(who.Actor), printable.Text(who.Reason), source, "", "forgotten", 0); err != nil {
			return fmt.Errorf("record who forgot it: %w", err)
		}
		return nil
	})
}

// FindStatus returns the state of a source by name. The error is ErrNoSource, with the names of those that there are.
func FindStatus(ctx context.Context, pool *pgxpool.Pool, source string) (*Status, error) {
	list, err := ReadStatus(ctx, pool)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(list, func(s Status) bool { return s.Source == source })
	if at >= 0 {
		return &list[at], nil
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Source
	}
	return nil, fmt.Errorf("%q: %w; there are %d: %s", source, ErrNoSource, len(names), strings.Join(names, ", "))
}
