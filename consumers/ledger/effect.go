package ledger

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

const (
	// claimEffectsSQL adds the effects that are not there yet, and returns those. Each version has a table of its own. Looking
	// first takes a fifth less time than ON CONFLICT DO NOTHING; OFFSET 0 keeps the look-ups one by one, by the index,
	// whatever the statistics say. Only after a topic has grown can another partition add the same effect meanwhile: then
	// the primary key makes the transaction fail, and it is tried again.
	claimEffectsSQL = `
INSERT INTO %[1]s (effect_key, content_hash)
SELECT t.k, t.h FROM unnest($1::uuid[], $2::bigint[]) AS t (k, h)
LEFT JOIN LATERAL (SELECT true AS there FROM %[1]s e WHERE e.effect_key = t.k OFFSET 0) o ON true
WHERE o.there IS NULL
RETURNING effect_key`

	// findEffectsSQL returns which of some effects are there, and of which content.
	findEffectsSQL = `
SELECT effect_key, content_hash FROM %s WHERE effect_key = ANY ($1::uuid[])`
)

// Effect is what an event of another producer does, once: the key identifies it, 128 bits of a hash, so that nothing of a
// person is kept, and the hash of its content tells a repeat from a conflict.
type Effect struct {
	Key  events.UUID
	Hash uint64
}

// claimRows bounds the effects of one statement.
const claimRows = 10_000

// ClaimEffects adds effects, whose keys are distinct, and returns the hashes of those that were there before. The
// statements go out with what is queued in tx.
func (l *Log) ClaimEffects(ctx context.Context, tx *postgres.Tx, effects []Effect) (before map[events.UUID]uint64, err error) {
	statement := fmt.Sprintf(claimEffectsSQL, l.effectsTable())
	slices.SortFunc(effects, func(a, b Effect) int { return compareKeys(&a.Key, &b.Key) }) // neighbours share pages of the index
	before = map[events.UUID]uint64{}
	for part := range slices.Chunk(effects, claimRows) {
		keys, hashes := make([]events.UUID, len(part)), make([]int64, len(part))
		for i, effect := range part {
			keys[i], hashes[i] = effect.Key, int64(effect.Hash)
		}
		added, err := postgres.Collect[events.UUID](ctx, tx, statement, keys, hashes)
		if err != nil {
			return nil, fmt.Errorf("claim effects: %w", err)
		}
		if len(added) == len(keys) {
			continue
		}
		if err := l.findEffects(ctx, tx, missing(keys, added), before); err != nil {
			return nil, err
		}
	}
	return before, nil
}

func compareKeys(a, b *events.UUID) int {
	return cmp.Or(
		cmp.Compare(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])),
		cmp.Compare(binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:])))
}

// missing returns the keys, which are in order, that are not among added, which need not be.
func missing(keys, added []events.UUID) []events.UUID {
	slices.SortFunc(added, func(a, b events.UUID) int { return compareKeys(&a, &b) })
	at := 0
	return slices.DeleteFunc(keys, func(key events.UUID) bool {
		if at == len(added) || added[at] != key {
			return false
		}
		at++
		return true
	})
}

// findEffects adds to found which of the keys are there.
func (l *Log) findEffects(ctx context.Context, db Querier, keys []events.UUID, found map[events.UUID]uint64) error {
	rows, err := db.Query(ctx, fmt.Sprintf(findEffectsSQL, l.effectsTable()), keys)
	if err != nil {
		return fmt.Errorf("look for effects: %w", err)
	}
	var key events.UUID
	var hash int64
	if _, err = pgx.ForEachRow(rows, []any{&key, &hash}, func() error {
		found[key] = uint64(hash)
		return nil
	}); err != nil {
		return fmt.Errorf("look for effects: %w", err)
	}
	return nil
}

func (l *Log) effectsTable() string { return quote(EffectsTable(l.Group, l.Version)) }
