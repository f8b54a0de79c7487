package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

const (
	// sequencesSQL reads the last number that was applied of each relay term.
	sequencesSQL = `
SELECT partition, relay_id, last_seq FROM relay_sequences
WHERE group_name = $1 AND version = $2 AND topic = $3 AND partition = ANY ($4::int[])`

	// raiseSequencesSQL remembers the last number applied of each relay term. It never falls, or what was applied would
	// be applied again.
	raiseSequencesSQL = `
INSERT INTO relay_sequences (group_name, version, topic, partition, relay_id, last_seq)
SELECT $1, $2, $3, p, r, s FROM unnest($4::int[], $5::uuid[], $6::bigint[]) AS t (p, r, s)
ON CONFLICT (group_name, version, topic, partition, relay_id) DO UPDATE SET last_seq = GREATEST(relay_sequences.last_seq, excluded.last_seq)`

	// relayKnownSQL tells whether a relay term is one of ours.
	relayKnownSQL = `SELECT EXISTS (SELECT FROM relays WHERE relay_id = $1)`
)

// Sequences are the last numbers applied by relay term.
type Sequences map[events.UUID]int64

// Sequences returns the sequences of each of the partitions that has some.
func (l *Log) Sequences(ctx context.Context, db Querier, partitions []int) (map[int]Sequences, error) {
	rows, err := db.Query(ctx, sequencesSQL, l.Group, l.Version, l.Topic, integers(partitions))
	if err != nil {
		return nil, fmt.Errorf("read relay sequences: %w", err)
	}
	sequences := map[int]Sequences{}
	var partition int
	var relay events.UUID
	var seq int64
	if _, err := pgx.ForEachRow(rows, []any{&partition, &relay, &seq}, func() error {
		if sequences[partition] == nil {
			sequences[partition] = Sequences{}
		}
		sequences[partition][relay] = seq
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read relay sequences: %w", err)
	}
	return sequences, nil
}

// RaiseSequences makes each number the last of its relay term, unless a greater one is stored.
func (l *Log) RaiseSequences(tx *postgres.Tx, sequences map[int]Sequences) {
	var partitions []int32
	var relays []events.UUID
	var numbers []int64
	for partition, of := range sequences {
		for relay, seq := range of {
			if relay.IsZero() || seq < 1 {
				continue
			}
			partitions, relays, numbers = append(partitions, int32(partition)), append(relays, relay), append(numbers, seq)
		}
	}
	if len(numbers) > 0 {
		tx.Queue(raiseSequencesSQL, l.Group, l.Version, l.Topic, partitions, relays, numbers)
	}
}

// RelayKnown tells whether a relay term is one of this deployment's.
func RelayKnown(ctx context.Context, db Querier, relay events.UUID) (known bool, err error) {
	if err := db.QueryRow(ctx, relayKnownSQL, relay).Scan(&known); err != nil {
		return false, fmt.Errorf("look up relay term: %w", err)
	}
	return known, nil
}
