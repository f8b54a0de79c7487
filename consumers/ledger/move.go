package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

const (
	// showPositionsSQL lists positions for people.
	showPositionsSQL = `
SELECT group_name, version, topic, topic_id, partition, next_offset, leader_epoch, owner, owner_epoch, state, halt_reason, halt_detail,
       fetched, applied, repeated, dead_lettered, lost, last_event_at, updated_at
FROM positions p
WHERE group_name = $1 AND (version = $2 OR $2 = 0)
ORDER BY version, topic, state = 'replaced', partition`

	// lockForMoveSQL reads the positions that an operator's verb is about, and locks them.
	lockForMoveSQL = `
SELECT cluster_id, topic_id, partition, next_offset, leader_epoch, state, halt_reason FROM positions
WHERE group_name = $1 AND version = $2 AND topic = $3 AND state <> 'replaced' AND (partition = $4 OR $4 < 0)
ORDER BY cluster_id, topic_id, partition FOR UPDATE`

	// replaceSQL retires positions of a log that is gone.
	replaceSQL = `
UPDATE positions SET state = 'replaced', owner_epoch = owner_epoch + 1, updated_at = now()
WHERE group_name = $1 AND version = $2 AND topic = $3 AND state <> 'replaced' AND (cluster_id <> $4 OR topic_id <> $5)`

	// moveSQL moves a position, takes it from its owner and lets it run. What it moves back over is read again. Skipped records count as fetched and dead-lettered.
	moveSQL = `
UPDATE positions
SET next_offset = $7, reread_to = CASE WHEN $7 < next_offset THEN GREATEST(reread_to, next_offset) ELSE reread_to END, leader_epoch = -1, owner_epoch = owner_epoch + 1, lost = lost + $8,
    fetched = fetched + $9, dead_lettered = dead_lettered + $9, state = 'running', halt_reason = '', halt_detail = '', updated_at = now()
WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = $5 AND next_offset = $6`
)

// PositionRow is one position as an operator sees it.
type PositionRow struct {
	Group        string      `json:"group"`
	Version      int         `json:"version"`
	Topic        string      `json:"topic"`
	TopicID      events.UUID `json:"-"`
	Partition    int         `json:"partition"`
	NextOffset   int64       `json:"next_offset"`
	LeaderEpoch  int32       `json:"leader_epoch"`
	Owner        string      `json:"owner"`
	OwnerEpoch   int64       `json:"owner_epoch"`
	State        string      `json:"state"`
	HaltReason   string      `json:"halt_reason,omitempty"`
	HaltDetail   string      `json:"halt_detail,omitempty"`
	Fetched      int64       `json:"fetched"`
	Applied      int64       `json:"applied"`
	Repeated     int64       `json:"repeated"`
	DeadLettered int64       `json:"dead_lettered"`
	Lost         int64       `json:"lost"`
	LastEventAt  *time.Time  `json:"last_event_at,omitempty"`
	UpdatedAt    time.Time   `json:"updated_at"`
}

// Positions lists the positions of a group's version; version 0 stands for all versions.
func Positions(ctx context.Context, db Querier, group string, version int) ([]PositionRow, error) {
	return collect(ctx, db, "list positions", pgx.RowToStructByPos[PositionRow], showPositionsSQL, group, version)
}

// Movable is a position that is locked for an operator's verb.
type Movable struct {
	Log
	Partition   int
	Next        int64
	LeaderEpoch int32 // of the last record before Next; -1 when unknown
	State       string
	HaltReason  Reason
}

// LockForMove locks the positions of a version in a topic, or of one partition of it, -1 standing for all.
func LockForMove(ctx context.Context, tx *postgres.Tx, group string, version int, topic string, partition int) ([]Movable, error) {
	scan := func(row pgx.CollectableRow) (m Movable, err error) {
		m.Log = Log{Group: group, Version: version, Topic: topic}
		return m, row.Scan(&m.Cluster, &m.TopicID, &m.Partition, &m.Next, &m.LeaderEpoch, &m.State, &m.HaltReason)
	}
	list, err := collect(ctx, tx, "lock positions", scan, lockForMoveSQL, group, version, topic, partition)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("version %d of %s has no such position yet", version, group)
	}
	return list, nil
}

// Replace retires the positions that the version has of other logs of the topic's name, and tells whether it had any.
func (l *Log) Replace(ctx context.Context, tx *postgres.Tx) (bool, error) {
	tag, err := tx.Exec(ctx, replaceSQL, l.Group, l.Version, l.Topic, l.Cluster, l.TopicID)
	if err != nil {
		return false, fmt.Errorf("replace positions: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// Move moves the position to an offset and lets it run. lost offsets were given up, and skipped records became dead
// letters. The round trip that it goes out with fails with ErrFenced when the position is not where it was.
func (m *Movable) Move(tx *postgres.Tx, to, lost, skipped int64) {
	tx.Queue(moveSQL, m.Group, m.Version, m.Cluster, m.TopicID, m.Partition, m.Next, to, lost, skipped).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != 1 {
			return ErrFenced
		}
		return nil
	})
}
