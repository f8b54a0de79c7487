package weights

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/metrics"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

var live = consumers.Version{Number: 1}

func newBatch(t testing.TB) consumers.Batch {
	t.Helper()
	users, err := metrics.NewUserLabel(metrics.UserPlain, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Group(nil, users).NewBatch()
}

var errLost = errors.New("the connection is lost")

// commit writes a batch in a transaction of its own, after a first attempt that did not commit.
func commit(ctx context.Context, db *pgxpool.Pool, batch consumers.Batch, version consumers.Version) error {
	err := postgres.InTx(ctx, db, func(tx *postgres.Tx) error {
		if err := batch.Write(ctx, tx, version); err != nil {
			return err
		}
		return errLost
	})
	if !errors.Is(err, errLost) {
		return fmt.Errorf("first attempt: %w", err)
	}
	return postgres.InTx(ctx, db, func(tx *postgres.Tx) error { return batch.Write(ctx, tx, version) })
}

func read(ctx context.Context, db *pgxpool.Pool, version int) (table, error) {
	rows, err := db.Query(ctx, `
SELECT user_id, feature, approvals, rejections, pinned, weight, updated_at FROM weight_counts WHERE version = $1`, version)
	if err != nil {
		return nil, err
	}
	got := table{}
	var at key
	var weight float64
	var found row
	_, err = pgx.ForEachRow(rows, []any{
		&at.user, &at.feature, &found.Approvals, &found.Rejections, &found.Pinned, &weight, &found.UpdatedAt,
	}, func() error {
		if want := found.weight(); math.Float64bits(weight) != math.Float64bits(want) {
			return fmt.Errorf("weight of %v is %v, not %v", at, weight, want)
		}
		row := found
		row.UpdatedAt = found.UpdatedAt.UTC()
		got[at] = row
		found.Pinned = nil
		return nil
	})
	return got, err
}

func (r row) weight() float64 {
	if r.Pinned != nil {
		return *r.Pinned
	}
	return float64(max(r.Approvals, 0)-max(r.Rejections, 0)) / 5
}

func TestWriteGivesTheRowsOfOneByOne(t *testing.T) {
	db, _ := testenv.Database(t)
	batch := newBatch(t)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.Exec(ctx, "TRUNCATE weight_counts"); err != nil {
			t.Fatal(err)
		}
		want := table{}
		for _, part := range anyBatches.Draw(t, "batches") {
			batch.Reset()
			for _, event := range part {
				batch.Add(&event)
				want.fold(event)
			}
			to := consumers.Version{Number: 1, Fresh: rapid.Bool().Draw(t, "fresh")} // true or not
			if err := commit(ctx, db, batch, to); err != nil {
				t.Fatal(err)
			}
		}
		got, err := read(ctx, db, live.Number)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestWriteMoreRowsThanAStatementTakes(t *testing.T) {
	db, _ := testenv.Database(t)
	batch, want := newBatch(t), table{}
	for i := range maxRows/4 + 10 {
		event := decision(events.TypeActionApproved, fmt.Sprint("user", i), i, "a", "b", "c", "d")
		batch.Add(&event)
		want.fold(event)
	}
	for _, fresh := range []bool{true, false} {
		if _, err := db.Exec(t.Context(), "TRUNCATE weight_counts"); err != nil {
			t.Fatal(err)
		}
		if err := commit(t.Context(), db, batch, consumers.Version{Number: 1, Fresh: fresh}); err != nil {
			t.Fatal(err)
		}
		got, err := read(t.Context(), db, live.Number)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("fresh %t: %s", fresh, diff)
		}
	}
}

func TestWriteTouchesOneVersion(t *testing.T) {
	db, _ := testenv.Database(t)
	ctx, batch := t.Context(), newBatch(t)
	if _, err := db.Exec(ctx, "CREATE TABLE weight_counts_2 PARTITION OF weight_counts FOR VALUES IN (2)"); err != nil {
		t.Fatal(err)
	}
	taught := decision(events.TypeActionApproved, "ada", 1, "category:promo")
	batch.Add(&taught)
	for version := 1; version <= 2; version++ {
		if err := commit(ctx, db, batch, consumers.Version{Number: version}); err != nil {
			t.Fatal(err)
		}
	}
	batch.Reset()
	for _, event := range []events.Event{
		erasure("ada", 2), preference(events.PreferenceForget, "bob", "category:promo", 0, 3),
	} {
		batch.Add(&event)
	}
	if err := commit(ctx, db, batch, consumers.Version{Number: 2, Shadow: true}); err != nil {
		t.Fatal(err)
	}
	first, err := read(ctx, db, 1)
	if err != nil {
		t.Fatal(err)
	}
	second, err := read(ctx, db, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 1 || len(second) != 0 {
		t.Errorf("version 1 has %v and version 2 %v", first, second)
	}
}

func BenchmarkWrite(b *testing.B) {
	db, _ := testenv.Database(b)
	ctx, log := context.Background(), manyEvents(1_000_000)
	for _, size := range []int{50_000, 300_000} {
		b.Run(fmt.Sprintf("batches of %d", size), func(b *testing.B) {
			if _, err := db.Exec(ctx, "TRUNCATE weight_counts"); err != nil {
				b.Fatal(err)
			}
			batch, rows, at := newBatch(b).(*batch), 0, 0
			var writing time.Duration
			for b.Loop() {
				batch.Reset()
				for range size {
					batch.Add(&log[at%len(log)])
					at++
				}
				began := time.Now()
				if err := postgres.InTx(ctx, db, func(tx *postgres.Tx) error { return batch.Write(ctx, tx, live) }); err != nil {
					b.Fatal(err)
				}
				writing += time.Since(began)
				rows += len(batch.lessons)
			}
			b.ReportMetric(float64(rows)/writing.Seconds(), "rows/s")
			b.ReportMetric(float64(at)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
