package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

const (
	// sequencesSQL reads the last number that was applied of each relay term, and by which key the term signs.
	sequencesSQL = `
SELECT s.partition, s.relay_id, s.last_seq, s.last_id, coalesce(r.key_number, 0)
FROM relay_sequences s LEFT JOIN relays r USING (relay_id)
WHERE s.group_name = $1 AND s.version = $2 AND s.topic = $3 AND s.partition = ANY ($4::int[])`

	// raiseSequencesSQL remembers the last number applied of each relay term, and which event had it. The number never falls, or
	// what was applied would be applied again. Whoever runs it holds the positions of the partitions, so that nobody else adds
	// a row meanwhile.
	raiseSequencesSQL = `
WITH raised AS MATERIALIZED (
	SELECT t.*, s.place, s.before
	FROM unnest($4::int[], $5::uuid[], $6::bigint[], $7::text[]) AS t (partition, relay_id, last_seq, last_id)
	LEFT JOIN LATERAL (
		SELECT ctid AS place, last_seq AS before FROM relay_sequences
		WHERE group_name = $1 AND version = $2 AND topic = $3 AND partition = t.partition AND relay_id = t.relay_id
		ORDER BY last_seq DESC LIMIT 1) s ON true),
moved AS (
	UPDATE relay_sequences s SET last_seq = r.last_seq, last_id = r.last_id FROM raised r
	WHERE s.ctid = ANY (ARRAY(SELECT place FROM raised WHERE last_seq > before)) AND s.partition = r.partition AND s.relay_id = r.relay_id)
INSERT INTO relay_sequences (group_name, version, topic, partition, relay_id, last_seq, last_id)
SELECT $1, $2, $3, partition, relay_id, last_seq, last_id FROM raised WHERE before IS NULL`

	// relayTermSQL finds a relay term of ours.
	relayTermSQL = `SELECT started_at, coalesce(key_number, 0) FROM relays WHERE relay_id = $1`

	// unsignedSQL tells up to where partitions may have unsigned records of relay terms.
	unsignedSQL = `
SELECT partition, unsigned_to FROM relay_partitions WHERE cluster_id = $1 AND topic_id = $2 AND unsigned_to > 0`
)

// Sequence is the last record of a relay term that was applied.
type Sequence struct {
	Seq int64
	ID  string // of its event; empty when it is not known
	Key int    // the number of the key by which the term signs
}

// Sequences are the last records applied, by relay term.
type Sequences map[events.UUID]Sequence

// Sequences returns the sequences of each of the partitions that has some.
func (l *Log) Sequences(ctx context.Context, db Querier, partitions []int) (map[int]Sequences, error) {
	rows, err := db.Query(ctx, sequencesSQL, l.Group, l.Version, l.Topic, integers(partitions))
	if err != nil {
		return nil, fmt.Errorf("read relay sequences: %w", err)
	}
	sequences := map[int]Sequences{}
	var partition int
	var relay events.UUID
	var last Sequence
	if _, err := pgx.ForEachRow(rows, []any{&partition, &relay, &last.Seq, &last.ID, &last.Key}, func() error {
		if sequences[partition] == nil {
			sequences[partition] = Sequences{}
		}
		sequences[partition][relay] = last
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
	var ids []string
	for partition, of := range sequences {
		for relay, last := range of {
			if relay.IsZero() || last.Seq < 1 {
				continue
			}
			partitions, relays = append(partitions, int32(partition)), append(relays, relay)
			numbers, ids = append(numbers, last.Seq), append(ids, last.ID)
		}
	}
	if len(numbers) > 0 {
		tx.Queue(raiseSequencesSQL, l.Group, l.Version, l.Topic, partitions, relays, numbers, ids)
	}
}

// Unsigned returns up to which offset each partition may have unsigned records of relay terms from before records were signed.
func (l *Log) Unsigned(ctx context.Context, db Querier) (map[int]int64, error) {
	rows, err := db.Query(ctx, unsignedSQL, l.Cluster, l.TopicID)
	if err != nil {
		return nil, fmt.Errorf("read where unsigned records end: %w", err)
	}
	ends := map[int]int64{}
	var partition int
	var end int64
	if _, err := pgx.ForEachRow(rows, []any{&partition, &end}, func() error {
		ends[partition] = end
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read where unsigned records end: %w", err)
	}
	return ends, nil
}

// RelayTerm is one leadership of our relay.
type RelayTerm struct {
	Began time.Time
	Key   int // the number of the key by which it signs; 0 if it began before records were signed
}

// FindRelayTerm returns a relay term of this deployment, nil if there is no such term.
func FindRelayTerm(ctx context.Context, db Querier, relay events.UUID) (*RelayTerm, error) {
	var term RelayTerm
	err := db.QueryRow(ctx, relayTermSQL, relay).Scan(&term.Began, &term.Key)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up relay term: %w", err)
	}
	return &term, nil
}
