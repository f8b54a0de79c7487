package warehouse

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// selectStatus reads every source, with the applications that it has published.
const selectStatus = `
SELECT source, tried_at, synced_at, full_at, newest_at, error, held_at, held_reason, held_detail,
       ARRAY(SELECT system FROM warehouse_systems y WHERE y.source = s.source ORDER BY system),
       (SELECT count(*) FROM warehouse_rows r JOIN warehouse_systems y USING (system) WHERE y.source = s.source AND NOT r.removed)
FROM warehouse_sources s
ORDER BY source`

// Status is the state of a source.
type Status struct {
	Source       string     `json:"source"`
	Systems      []string   `json:"systems"`
	Applications int64      `json:"applications"`
	TriedAt      time.Time  `json:"tried_at"`
	SyncedAt     *time.Time `json:"synced_at"`
	FullAt       *time.Time `json:"full_at"`
	NewestRow    *time.Time `json:"newest_row"`
	Error        string     `json:"error"`
	HeldAt       *time.Time `json:"held_at"`
	HeldReason   HoldReason `json:"held_reason"`
	HeldDetail   string     `json:"held_detail"`
}

// ReadStatus returns all sources that were ever synced, by name.
func ReadStatus(ctx context.Context, pool *pgxpool.Pool) ([]Status, error) {
	rows, err := pool.Query(ctx, selectStatus)
	if err != nil {
		return nil, fmt.Errorf("read the state of the sources: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Status, err error) {
		return s, row.Scan(&s.Source, &s.TriedAt, &s.SyncedAt, &s.FullAt, &s.NewestRow, &s.Error, &s.HeldAt, &s.HeldReason, &s.HeldDetail,
			&s.Systems, &s.Applications)
	})
	if err != nil {
		return nil, fmt.Errorf("read the state of the sources: %w", err)
	}
	return list, nil
}
