package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// addForget counts that the person forgets once more: one feature or, for the empty text, all of them.
const addForget = `
WITH counted AS (UPDATE users SET forgets = forgets + 1 WHERE id = $1 RETURNING forgets)
INSERT INTO forgotten_features (user_id, feature, forget)
SELECT $1, $2, forgets FROM counted
ON CONFLICT (user_id, feature) DO UPDATE SET forget = excluded.forget
RETURNING clock_timestamp()`

// selectForgotten finds which of the features were forgotten after so many forgets; the empty text stands for all.
const selectForgotten = `
SELECT feature FROM forgotten_features
WHERE user_id = $1 AND forget > $2 AND (feature = '' OR feature = ANY ($3))`

// everything is what a reset forgets, as addForget takes it.
const everything = ""

// noteForget notes what the person forgets at this place among the decisions, and returns the time.
func noteForget(ctx context.Context, tx *transaction, feature string) (at time.Time, err error) {
	if err = tx.QueryRow(ctx, addForget, tx.user, feature).Scan(&at); err != nil {
		return at, fmt.Errorf("note what is forgotten: %w", err)
	}
	return at, nil
}

// remembered returns those features of a decided action that were not forgotten since the decision.
func remembered(ctx context.Context, tx *transaction, a *action) ([]string, error) {
	if a.Forgets == tx.forgets {
		return a.Features, nil
	}
	rows, err := tx.Query(ctx, selectForgotten, tx.user, a.Forgets, a.Features)
	if err != nil {
		return nil, fmt.Errorf("read what was forgotten: %w", err)
	}
	forgotten, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read what was forgotten: %w", err)
	}
	all := slices.Contains(forgotten, everything)
	kept := []string{}
	for _, feature := range a.Features {
		if !all && !slices.Contains(forgotten, feature) {
			kept = append(kept, feature)
		}
	}
	return kept, nil
}
