package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
)

// publishMany has the leader publish rows, as many as make it raise the floors, and tries to raise them.
func (w *deployment) publishMany(l *term) {
	w.Helper()
	w.add(floorRows, "ann", "bob", "cid")
	w.run(l, func() bool {
		return w.Int("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0
	})
	l.floors.tried = time.Time{} // a second has passed
	w.Must(l.turn(w.Context()))
}

// A transaction that drew a low seq may commit long after others were published: the floors stay below it.
func TestFloorsStayBelowLateCommits(t *testing.T) {
	w := newDeployment(t)
	l := w.leader(w.Pool)
	w.publishMany(l)
	before := l.floors
	if before.sequenced < floorRows || before.published != before.sequenced {
		t.Fatalf("floors %+v, want both at the last of %d rows", before, floorRows)
	}
	late, err := w.Pool.Begin(t.Context())
	w.Must(err)
	defer late.Rollback(context.Background()) //nolint:errcheck // after a commit it does nothing
	w.Must(outbox.Insert(t.Context(), late, w.row("ann"), w.row("bob")))
	for range 2 {
		w.publishMany(l)
		if l.floors.sequenced != before.sequenced || l.floors.published != before.published {
			t.Fatalf("floors %+v while a transaction with rows above %+v is open", l.floors, before)
		}
	}
	w.Must(late.Commit(t.Context()))
	w.publishMany(l) // they rise to what was drawn when they began to wait
	w.publishMany(l)
	if n := w.Int("SELECT count(*) FROM outbox WHERE published_at IS NULL"); n != 0 {
		t.Errorf("%d rows wait for ever", n)
	}
	if last := int64(w.Int("SELECT max(seq) FROM outbox")); l.floors.sequenced != last || l.floors.published != last {
		t.Errorf("floors %+v, want both at %d", l.floors, last)
	}
	next, err := readFloors(t.Context(), l.conn)
	w.Must(err)
	if next.sequenced != l.floors.sequenced || next.published != l.floors.published {
		t.Errorf("the next term begins with %+v, want %+v", next, l.floors)
	}
}

// Rows that are to be published again are below where they were published before.
func TestFloorIsLoweredForRowsThatKafkaLost(t *testing.T) {
	w := newDeployment(t)
	l := w.leader(w.Pool)
	w.publishMany(l)
	for _, p := range l.partitions {
		w.Must(l.publishAgain(t.Context(), p, 0))
		p.requireInspection()
	}
	next, err := readFloors(t.Context(), l.conn)
	w.Must(err)
	if l.floors.published != 0 || next.published != 0 || next.sequenced != l.floors.sequenced {
		t.Errorf("floors %+v, stored %+v, want published at 0", l.floors, next)
	}
	w.run(l, func() bool {
		return w.Int("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0
	})
}

// While somebody holds a snapshot, as a backup does, nothing that was waiting since can be removed from the index of what
// waits. The searches that the relay repeats do not pass over all of it.
func TestSearchesAreBoundedBesideALongSnapshot(t *testing.T) {
	w := newDeployment(t)
	l := w.leader(w.Pool)
	snapshot, err := w.Pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	w.Must(err)
	defer snapshot.Rollback(context.Background()) //nolint:errcheck // it has only read
	_, err = snapshot.Exec(t.Context(), "SELECT count(*) FROM outbox")
	w.Must(err)
	for range 5 {
		w.publishMany(l)
	}
	w.Exec("VACUUM outbox")
	const bound = 50
	for what, search := range map[string]func() error{
		"rows without a sequence": func() error {
			_, err := selectUnsequenced(t.Context(), l.conn, l.topics, l.floors.sequenced)
			return err
		},
		"rows that are not published": func() error {
			_, err := selectSequenced(t.Context(), l.conn, slices.Collect(maps.Values(l.partitions)), l.floors.published)
			return err
		},
		"the backlog": func() error {
			_, err := outbox.ReadBacklog(t.Context(), l.conn)
			return err
		},
	} {
		if pages := w.pages(l, search); pages > bound {
			t.Errorf("looking for %s reads %d pages, want at most %d", what, pages, bound)
		}
	}
	pages := w.pages(l, func() error {
		_, err := selectUnsequenced(t.Context(), l.conn, l.topics, 0)
		return err
	})
	if pages <= 10*bound {
		t.Errorf("without a floor it reads only %d pages: the snapshot holds nothing", pages)
	}
}

// The end of a partition is stored fifty times a second.
func TestEndsAreStoredInBoundedTimeBesideALongSnapshot(t *testing.T) {
	w := newDeployment(t)
	l := w.leader(w.Pool)
	snapshot, err := w.Pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	w.Must(err)
	defer snapshot.Rollback(context.Background()) //nolint:errcheck // it has only read
	_, err = snapshot.Exec(t.Context(), "SELECT count(*) FROM relay_partitions")
	w.Must(err)
	p := l.partitions[topicPartition{events.TopicActions, 0}]
	save := func(end int64) error {
		_, err := l.conn.Exec(t.Context(), saveEndSQL, l.layout.cluster, p.topic, [16]byte(p.topicID), p.partition, end)
		return err
	}
	w.Must(save(0))
	const versions = 10_000
	_, err = l.conn.Exec(t.Context(), fmt.Sprintf(`DO $$ BEGIN
		FOR i IN 1..%d LOOP
			UPDATE relay_partitions SET next_offset = i
			WHERE cluster_id = '%s' AND topic_id = '%x' AND partition = 0 AND next_offset = i - 1;
		END LOOP;
	END $$`, versions, l.layout.cluster, p.topicID[:]))
	w.Must(err)
	if pages := w.pages(l, func() error { return save(versions + 1) }); pages > 30 {
		t.Errorf("storing an end reads %d pages, want at most 30", pages)
	}
	w.Must(save(7)) // records were lost
	end, known, err := readEnd(t.Context(), l.conn, l.layout.cluster, p.topicID, p.partition)
	if err != nil || !known || end != 7 {
		t.Errorf("the end is %d (%t, %v), want 7", end, known, err)
	}
	if n := w.Int("SELECT count(*) FROM relay_partitions WHERE topic = $1 AND partition = 0", p.topic); n != 1 {
		t.Errorf("%d ends of one partition, want 1", n)
	}
}

// pages tells how many pages of the relay's tables and their indexes a search on the leader's connection reads.
func (w *deployment) pages(l *term, search func() error) (pages int) {
	w.Helper()
	w.Must(pgx.BeginFunc(w.Context(), l.conn, func(tx pgx.Tx) error {
		const read = "SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::int FROM pg_class WHERE relname ~ '^(outbox|relay_partitions)'"
		var before, after int
		err := errors.Join(tx.QueryRow(w.Context(), read).Scan(&before), search(), tx.QueryRow(w.Context(), read).Scan(&after))
		pages = after - before
		return err
	}))
	return pages
}
