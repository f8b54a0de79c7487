package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// Log identifies what a set of positions is about: one version of a group's projection, reading one topic of one cluster.
type Log struct {
	Group      string
	Version    int
	Shadow     bool // the version is not live
	Cluster    string
	Topic      string // without prefix
	TopicID    events.UUID
	Partitions int // how many the topic has
}

// Position is how far one partition has been folded, as PostgreSQL has it.
type Position struct {
	Next        int64 // offset
	LeaderEpoch int32 // of the record before Next; -1 when unknown
	OwnerEpoch  int64 // grows with every claim
	BeganAt     int64 // the offset at which reading began
	CreatedAt   time.Time
	RereadTo    int64 // offsets below it were folded before, at this position or in the log that this one replaced
}

// ErrFenced tells that a position has another owner, or was moved: whoever meets it must give the partition up.
var ErrFenced = errors.New("position has another owner")

// Querier is what a pool, a connection and a transaction have in common.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// collect reads all rows of a statement. what is what it is for, for its error.
func collect[T any](ctx context.Context, db Querier, what string, scan pgx.RowToFunc[T], sql string, args ...any) (list []T, err error) {
	rows, err := db.Query(ctx, sql, args...)
	if err == nil {
		list, err = pgx.CollectRows(rows, scan)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return list, nil
}
