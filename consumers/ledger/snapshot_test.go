package ledger_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// While somebody holds a snapshot, as a backup or a comparison does, every version of a position and of a relay's number stays.
// A batch does not look at all of them.
func TestAdvancingIsBoundedBesideALongSnapshot(t *testing.T) {
	pool, _ := testenv.Database(t)
	log := ledger.Log{Group: "weights", Version: 1, Cluster: "c", Topic: events.TopicActions, TopicID: events.NewUUIDv7(time.Now()), Partitions: 3}
	relay := events.NewUUIDv7(time.Now())
	must(t, postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
		return log.AddPositions(t.Context(), tx, map[int]int64{0: 0, 1: 0, 2: 0}, nil)
	}))
	next, owner := int64(0), int64(0)
	advance := func() (pages int) {
		must(t, postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
			var advances []ledger.Advance
			sequences := map[int]ledger.Sequences{}
			for p := range log.Partitions {
				advances = append(advances, ledger.Advance{Partition: p, Expected: next, OwnerEpoch: owner, Next: next + 1, LeaderEpoch: 1, Applied: 1})
				sequences[p] = ledger.Sequences{relay: {Seq: next + 1}}
			}
			before, err := fetched(t.Context(), tx)
			if err != nil {
				return err
			}
			log.Advance(tx, advances)
			log.RaiseSequences(tx, sequences)
			after, err := fetched(t.Context(), tx)
			pages = after - before
			return err
		}))
		next++
		return pages
	}
	first := advance()
	hold(t, pool)
	for range 1500 {
		advance()
	}
	if pages := advance(); pages > first+20 {
		t.Errorf("a batch reads %d pages of positions and numbers, and %d in a new database", pages, first)
	}
	var size int
	must(t, pool.QueryRow(t.Context(), "SELECT pg_relation_size('positions') / 8192").Scan(&size))
	if size < 40 {
		t.Errorf("the positions have only %d pages: the snapshot holds nothing", size)
	}
	offsets, err := ledger.NextOffsets(t.Context(), pool, "weights", 1)
	if err != nil || offsets[0] != next || offsets[2] != next {
		t.Errorf("the positions are at %v, want %d (%v)", offsets, next, err)
	}
	numbers, err := log.Sequences(t.Context(), pool, []int{0, 1, 2})
	if err != nil || numbers[0][relay].Seq != next || numbers[2][relay].Seq != next {
		t.Errorf("the numbers are %v, want %d (%v)", numbers, next, err)
	}
}

// hold keeps a snapshot until the test ends.
func hold(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	tx, err := pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	must(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), "SELECT count(*) FROM positions")
	must(t, err)
}

// fetched tells how many pages of the positions and the numbers, and of their indexes, the session has read.
func fetched(ctx context.Context, tx *postgres.Tx) (pages int, err error) {
	err = tx.QueryRow(ctx, `
SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::int FROM pg_class WHERE relname ~ '^(positions|position_keys|relay_sequences)'`).Scan(&pages)
	return pages, err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A partition has one position, whoever else adds one.
func TestAPartitionHasOnePosition(t *testing.T) {
	pool, _ := testenv.Database(t)
	log := ledger.Log{Group: "weights", Version: 1, Cluster: "c", Topic: events.TopicActions, TopicID: events.NewUUIDv7(time.Now()), Partitions: 1}
	add := func(start int64) error {
		return postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
			return log.AddPositions(t.Context(), tx, map[int]int64{0: start}, nil)
		})
	}
	first, err := postgres.Begin(t.Context(), pool)
	must(t, err)
	defer first.Rollback(context.Background())
	must(t, log.AddPositions(t.Context(), first, map[int]int64{0: 5}, nil))
	second := make(chan error, 1)
	go func() { second <- add(7) }()
	testenv.Eventually(t, 30*time.Second, time.Millisecond, "the second waits for the first", func() error {
		var waits bool
		err := pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").Scan(&waits)
		if err == nil && !waits {
			err = pgx.ErrNoRows
		}
		return err
	})
	_, err = first.Commit(t.Context())
	must(t, err)
	must(t, <-second)
	must(t, add(9))
	offsets, err := ledger.NextOffsets(t.Context(), pool, "weights", 1)
	must(t, err)
	var rows int
	must(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM positions").Scan(&rows))
	if rows != 1 || offsets[0] != 5 {
		t.Errorf("%d positions, at %v, want one at 5", rows, offsets)
	}
	_, err = pool.Exec(t.Context(), "DELETE FROM positions")
	must(t, err)
	must(t, add(9))
	if offsets, err = ledger.NextOffsets(t.Context(), pool, "weights", 1); err != nil || offsets[0] != 9 {
		t.Errorf("after it was deleted the position is at %v, want 9 (%v)", offsets, err)
	}
}
