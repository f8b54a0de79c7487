package enrichment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

var live = consumers.Version{Number: 1}

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

// writeLog commits a log as one batch.
func writeLog(t *testing.T, db *pgxpool.Pool, version consumers.Version, log ...events.Event) {
	t.Helper()
	batch := Group().NewBatch()
	for _, event := range log {
		batch.Add(&event)
	}
	if err := commit(t.Context(), db, batch, version); err != nil {
		t.Fatal(err)
	}
}

func read(ctx context.Context, db *pgxpool.Pool, version int) (map[key]appRow, error) {
	rows, err := db.Query(ctx, `
SELECT system, application_id, addresses, company, stage, last_stage_change, interview_date, src_version, removed, updated_at
FROM applications WHERE version = $1`, version)
	if err != nil {
		return nil, err
	}
	got := map[key]appRow{}
	var at key
	var found appRow
	var change, interview *time.Time
	_, err = pgx.ForEachRow(rows, []any{
		&at.system, &at.applicationID, &found.Addresses, &found.Company, &found.Stage, &change, &interview,
		&found.SrcVersion, &found.Removed, &found.UpdatedAt,
	}, func() error {
		row := found
		row.Addresses = slices.Clone(found.Addresses)
		row.LastStageChange, row.InterviewDate, row.UpdatedAt = utc(change), utc(interview), found.UpdatedAt.UTC()
		got[at] = row
		return nil
	})
	return got, err
}

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// readKeys returns the keys of each application as "address company whole".
func readKeys(ctx context.Context, db *pgxpool.Pool, version int) (map[key][]string, error) {
	rows, err := db.Query(ctx, `
SELECT system, application_id, array_agg(address || ' ' || company || ' ' || whole ORDER BY address COLLATE "C", company COLLATE "C")
FROM application_keys WHERE version = $1 GROUP BY system, application_id`, version)
	if err != nil {
		return nil, err
	}
	got := map[key][]string{}
	var at key
	var keys []string
	_, err = pgx.ForEachRow(rows, []any{&at.system, &at.applicationID, &keys}, func() error {
		got[at] = slices.Clone(keys)
		return nil
	})
	return got, err
}

// marks returns the generation of each marked address, followed by the company.
func marks(ctx context.Context, db *pgxpool.Pool) (map[string]int64, error) {
	rows, err := db.Query(ctx, "SELECT trim(address || ' ' || company), generation FROM dirty_addresses")
	if err != nil {
		return nil, err
	}
	got := map[string]int64{}
	var address string
	var generation int64
	_, err = pgx.ForEachRow(rows, []any{&address, &generation}, func() error {
		got[address] = generation
		return nil
	})
	return got, err
}

func TestWriteGivesTheRowsOfOneByOne(t *testing.T) {
	db, _ := testenv.Database(t)
	testenv.Index(t, db)
	ctx, batch := t.Context(), Group().NewBatch()
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.Exec(ctx, "TRUNCATE applications, application_keys, dirty_addresses"); err != nil {
			t.Fatal(err)
		}
		plain, batched := newTable(), newTable()
		for _, part := range anyBatches.Draw(t, "batches") {
			batch.Reset()
			changes := NewChanges()
			for _, event := range part {
				batch.Add(&event)
				changes.Fold(&event)
				plain.fold(event)
			}
			batched.add(changes)
			if err := commit(ctx, db, batch, live); err != nil {
				t.Fatal(err)
			}
		}
		got, err := read(ctx, db, live.Number)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plain.rows, got); diff != "" {
			t.Fatal(diff)
		}
		marked, err := marks(ctx, db)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := readKeys(ctx, db, live.Number)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plain.keys(), keys); diff != "" {
			t.Fatal(diff)
		}
		want := slices.Sorted(maps.Keys(batched.marked))
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(marked))); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestMarks(t *testing.T) {
	db, _ := testenv.Database(t)
	testenv.Index(t, db)
	ctx := t.Context()
	for _, step := range []struct {
		name  string
		event events.Event
		want  map[string]int64
	}{
		{"a new application", changedTo("1", 1, "Applied", "a@x.org"), map[string]int64{"a@x.org": 1, "a@x.org acme": 1}},
		{"an old version", changedTo("1", 1, "Onsite", "b@x.org"), map[string]int64{"a@x.org": 1, "a@x.org acme": 1}},
		{"equal content", changedTo("1", 2, "Applied", "a@x.org"), map[string]int64{"a@x.org": 1, "a@x.org acme": 1}},
		{"a new stage", changedTo("1", 3, "Onsite", "a@x.org"), map[string]int64{"a@x.org": 2, "a@x.org acme": 2}},
		{"another address", changedTo("1", 4, "Onsite", "b@x.org"), map[string]int64{"a@x.org": 3, "a@x.org acme": 3, "b@x.org": 1, "b@x.org acme": 1}},
		{"a removal", removal("1", 5), map[string]int64{"a@x.org": 3, "a@x.org acme": 3, "b@x.org": 2, "b@x.org acme": 2}},
		{"a removal of what is gone", removal("1", 6), map[string]int64{"a@x.org": 3, "a@x.org acme": 3, "b@x.org": 2, "b@x.org acme": 2}},
	} {
		writeLog(t, db, live, step.event)
		got, err := marks(ctx, db)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}

func TestWithoutAnIndexNothingIsMarked(t *testing.T) {
	db, _ := testenv.Database(t)
	writeLog(t, db, live, changedTo("1", 1, "Applied", "a@x.org"))
	if got, err := marks(t.Context(), db); err != nil || len(got) != 0 {
		t.Errorf("marks %v (%v)", got, err)
	}
}

func TestAShadowMarksNothing(t *testing.T) {
	db, _ := testenv.Database(t)
	testenv.Index(t, db)
	ctx := t.Context()
	if _, err := db.Exec(ctx, "CREATE TABLE applications_2 PARTITION OF applications FOR VALUES IN (2); CREATE TABLE application_keys_2 PARTITION OF application_keys FOR VALUES IN (2)"); err != nil {
		t.Fatal(err)
	}
	writeLog(t, db, consumers.Version{Number: 2, Shadow: true}, changedTo("1", 1, "Applied", "a@x.org"))
	if got, err := marks(ctx, db); err != nil || len(got) != 0 {
		t.Errorf("marks %v (%v)", got, err)
	}
	first, err := read(ctx, db, 1)
	if err != nil {
		t.Fatal(err)
	}
	second, err := read(ctx, db, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 0 || len(second) != 1 {
		t.Errorf("version 1 has %v and version 2 %v", first, second)
	}
}

func BenchmarkWrite(b *testing.B) {
	db, _ := testenv.Database(b)
	ctx, log, rows := context.Background(), manyEvents(20_000), 0
	batch := Group().NewBatch()
	for b.Loop() {
		batch.Reset()
		for i := range log {
			log[i].Application.SrcVersion += int64(len(log))
			batch.Add(&log[i])
		}
		if err := postgres.InTx(ctx, db, func(tx *postgres.Tx) error { return batch.Write(ctx, tx, live) }); err != nil {
			b.Fatal(err)
		}
		rows += len(log)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
