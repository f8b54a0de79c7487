package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

const (
	// rememberPlacesSQL keeps where erasures were read first.
	rememberPlacesSQL = `
INSERT INTO erasure_places (group_name, version, topic_id, effect_key, partition, log_offset)
SELECT $1, $2, $3, e.* FROM unnest($4::uuid[], $5::int[], $6::bigint[]) AS e
ON CONFLICT DO NOTHING`

	// placeSQL finds where an erasure was read first in a log.
	placeSQL = `
SELECT partition, log_offset FROM erasure_places
WHERE group_name = $1 AND version = $2 AND topic_id = $3 AND effect_key = $4`
)

func (l *Log) rememberPlaces(ctx context.Context, tx *postgres.Tx, erasures []Erasure) error {
	var keys []events.UUID
	var partitions []int32
	var offsets []int64
	for _, e := range erasures {
		if !e.Effect.IsZero() {
			keys, partitions, offsets = append(keys, e.Effect), append(partitions, int32(e.Partition)), append(offsets, e.Offset)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, rememberPlacesSQL, l.Group, l.Version, l.TopicID, keys, partitions, offsets); err != nil {
		return fmt.Errorf("remember where erasures are: %w", err)
	}
	return nil
}

// Applied tells what the version knows of an erasure.
type Applied struct {
	Known     bool // it was applied, in this log or another
	Placed    bool // it was applied at Partition and Offset of this log
	Partition int
	Offset    int64
}

// Applied looks an erasure up by its effect.
func (l *Log) Applied(ctx context.Context, db Querier, effect events.UUID) (a Applied, err error) {
	err = db.QueryRow(ctx, placeSQL, l.Group, l.Version, l.TopicID, effect).Scan(&a.Partition, &a.Offset)
	if err == nil {
		a.Known, a.Placed = true, true
		return a, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return a, fmt.Errorf("look for the place of an erasure: %w", err)
	}
	found := map[events.UUID]uint64{}
	err = l.findEffects(ctx, db, []events.UUID{effect}, found)
	a.Known = len(found) > 0
	return a, err
}
