package indexer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/rebuild"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/enrichment"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/testkit/world"
)

// many returns the events of mails of a person, numbered from 0.
func many(user string, count int) []*events.Event {
	list := make([]*events.Event, count)
	for i := range list {
		list[i] = received(user, fmt.Sprint(i))
	}
	return list
}

// TestAFirstIndexGetsWhatWasFoldedBefore, and what is folded while it is planned by a transaction that began before.
func TestAFirstIndexGetsWhatWasFoldedBefore(t *testing.T) {
	w := newDeployment(t)
	w.fold(many("ada", 20)...)
	batch := mailbox.Group().NewBatch()
	batch.Add(received("ada", "late"))
	tx, err := postgres.Begin(t.Context(), w.Pool)
	w.Must(err)
	defer tx.Rollback(context.Background())
	w.Must(batch.Write(t.Context(), tx, consumers.Version{Number: 1})) // it sees no index, and marks nothing
	ended := make(chan error, 1)
	go func() {
		_, err := Plan(context.Background(), w.Pool, w.client, false)
		ended <- err
	}()
	w.awaitLock("planning waits for the transaction")
	_, err = tx.Commit(t.Context())
	w.Must(err)
	w.Must(<-ended)
	w.start()
	w.settle()
	w.same()
}

// TestMarksWaitForAnIndexThatIsBeingPlanned: who marks while the first index is being planned sees it.
func TestMarksWaitForAnIndexThatIsBeingPlanned(t *testing.T) {
	for name, test := range map[string]struct {
		mark  func(w *deployment)
		marks int
	}{
		"a fold":        {func(w *deployment) { w.fold(received("ada", "1")) }, 2}, // the mail, and the address to which it came
		"mails":         {func(w *deployment) { w.Exec(`SELECT mark_mails(ARRAY[gen_random_uuid()])`) }, 1},
		"addresses":     {func(w *deployment) { w.Exec(`SELECT mark_addresses('{ada@example.org}', '{*}')`) }, 1},
		"own addresses": {func(w *deployment) { w.Exec(`INSERT INTO users (id, addresses) VALUES ('ada', '{ada@example.org}')`) }, 1},
		"a version":     {func(w *deployment) { w.Exec(`SELECT mark_versions('{1}')`) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDeployment(t)
			tx, err := w.Pool.Begin(t.Context())
			w.Must(err)
			_, err = plan(t.Context(), tx, "x", false)
			w.Must(err)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				test.mark(w)
			}()
			w.awaitLock("marking waits")
			w.Must(tx.Commit(t.Context()))
			<-ended
			const marks = `SELECT (SELECT count(*) FROM dirty_mails) + (SELECT count(*) FROM dirty_addresses) + (SELECT count(*) FROM dirty_versions)`
			if n := world.Scalar[int](w, marks); n != test.marks {
				t.Errorf("%d marks, want %d", n, test.marks)
			}
		})
	}
}

// awaitLock waits until a session waits for a lock.
func (w *deployment) awaitLock(what string) {
	w.Helper()
	w.Eventually(what, func() error {
		if !world.Scalar[bool](w, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`) {
			return errors.New("it does not")
		}
		return nil
	})
}

// TestPlanningMeetsNoDeadlock: who plans or forgets an index while marks are being changed waits for them, whatever was
// locked first.
func TestPlanningMeetsNoDeadlock(t *testing.T) {
	id := mailID("ada", "1")
	for name, steps := range map[string][2]string{
		"a fold":             {`SELECT mark_addresses('{ada@example.org}', '{*}')`, `SELECT mark_mails('{` + id + `}')`},
		"a dropped version":  {`SELECT mark_versions('{1}')`, `SELECT mark_mails('{` + id + `}')`},
		"turned addresses":   {begin + `; SELECT FROM dirty_addresses FOR UPDATE`, `SELECT mark_mails('{` + id + `}'); DELETE FROM dirty_addresses`},
		"a turned version":   {begin + `; SELECT FROM dirty_versions FOR UPDATE`, `SELECT mark_mails('{` + id + `}'); DELETE FROM dirty_versions`},
		"cleared marks":      {begin + `; SELECT FROM dirty_mails FOR UPDATE`, `DELETE FROM dirty_mails`},
		"an added address":   {`UPDATE users SET addresses = '{x@example.org}'`, `SELECT mark_mails('{` + id + `}')`},
		"a person's erasure": {`SELECT lock_marks(); SELECT FROM dirty_addresses FOR UPDATE`, `DELETE FROM users; DELETE FROM dirty_addresses`},
	} {
		for _, how := range []string{"plan", "forget"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				w := newDeployment(t)
				if how == "forget" {
					_, err := Plan(t.Context(), w.Pool, w.client, false)
					w.Must(err)
				}
				w.Exec(`INSERT INTO users (id, addresses) VALUES ('ada', '{ada@example.org}')`)
				w.Exec(`INSERT INTO dirty_mails (mail_id) VALUES ($1)`, id)
				w.Exec(`INSERT INTO dirty_addresses (address, company) VALUES ('ada@example.org', '*') ON CONFLICT DO NOTHING`)
				w.Exec(`INSERT INTO dirty_versions (version) VALUES (1) ON CONFLICT DO NOTHING`)
				marker, err := w.Pool.Begin(t.Context())
				w.Must(err)
				defer marker.Rollback(context.Background()) //nolint:errcheck // after a commit it does nothing
				_, err = marker.Conn().PgConn().Exec(t.Context(), steps[0]).ReadAll()
				w.Must(err)
				ended := make(chan error, 1)
				go func() {
					if how == "forget" {
						ended <- Forget(context.Background(), w.Pool, w.client)
						return
					}
					_, err := Plan(context.Background(), w.Pool, w.client, false)
					ended <- err
				}()
				w.awaitLock("it waits for the marks")
				_, err = marker.Conn().PgConn().Exec(t.Context(), steps[1]).ReadAll()
				w.Must(err)
				w.Must(marker.Commit(t.Context()))
				w.Must(<-ended)
			})
		}
	}
}

// TestUpgradeWithoutAGap: an index of a newer mapping is filled beside the old one, and searches always find everything.
func TestUpgradeWithoutAGap(t *testing.T) {
	w := newDeployment(t)
	const count = 300
	w.fold(many("ada", count)...)
	stop := w.start(func(c *Config) { c.BatchMails = 20 })
	w.settle()
	old := w.liveIndex()
	stop()
	w.Exec(`UPDATE search_indices SET mapping_version = 0`)
	if name, err := Plan(t.Context(), w.Pool, w.client, false); err != nil || name != "" {
		t.Fatalf("without being told to upgrade it plans %q, %v", name, err)
	}
	name, err := Plan(t.Context(), w.Pool, w.client, true)
	w.Must(err)
	if again, err := Plan(t.Context(), w.Pool, w.client, true); err != nil || again != "" {
		t.Fatalf("asked twice it plans %q too, %v", again, err)
	}

	searching, gap := context.WithCancel(t.Context())
	var searches sync.WaitGroup
	engine := elastic.NewEngine(w.open(w.server), nil)
	searches.Go(func() {
		for searching.Err() == nil {
			hits, err := engine.Search(t.Context(), search.Request{UserID: "ada", Where: search.All{}, Limit: 1000})
			if err != nil || len(hits) != count {
				t.Errorf("a search finds %d mails, %v", len(hits), err)
				return
			}
		}
	})
	w.start(func(c *Config) { c.BatchMails = 20 })
	w.fold(received("ada", "5", func(m *events.Mail) { m.Subject = "changed meanwhile" }))
	w.settle()
	w.Eventually("the new index is searched", func() error {
		if live := w.liveIndex(); live != name {
			return fmt.Errorf("it is %s", live)
		}
		return nil
	})
	gap()
	searches.Wait()
	w.same()
	w.gone(old)
}

// gone waits until an index is deleted.
func (w *deployment) gone(index string) {
	w.Helper()
	w.Eventually(index+" is deleted", func() error {
		owners, err := w.open(w.server).Owners(context.Background(), index)
		if err == nil && len(owners) > 0 {
			err = errors.New("it is there")
		}
		return err
	})
}

// TestARestoredDatabaseGetsANewIndex: its numbers may have been given before, so what the old index has would win. It is
// known by the server's timeline, or, when it was restored into the same server, by the numbers.
func TestARestoredDatabaseGetsANewIndex(t *testing.T) {
	for name, restore := range map[string]string{
		"on another timeline":  `UPDATE search_indices SET timeline_id = timeline_id - 1`,
		"into the same server": `SELECT setval('index_rev', 1)`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newDeployment(t)
			stop := w.start()
			for i := range 5 { // each in a bulk of its own
				w.fold(received("ada", fmt.Sprint(i)))
				w.settle()
			}
			old := w.liveIndex()
			stop()
			w.Exec(`DELETE FROM mails WHERE id = $1`, mailID("ada", "4")) // it came after the backup
			w.Exec(restore)
			w.start()
			w.Eventually("another index is searched", func() error {
				if world.Scalar[bool](w, `SELECT EXISTS (SELECT FROM search_indices WHERE state = 'live' AND name <> $1)`, old) {
					return nil
				}
				return errors.New(w.marks())
			})
			w.fold(received("ada", "1", func(m *events.Mail) { m.Subject = "changed since" }))
			w.settle()
			w.same()
			w.gone(old)
		})
	}
}

// TestARestoredDatabaseKnowsNothingOfTheIndex: its own old one, which it does not know, goes when the new one is there.
func TestARestoredDatabaseKnowsNothingOfTheIndex(t *testing.T) {
	w := newDeployment(t)
	w.fold(many("ada", 5)...)
	stop := w.start()
	w.settle()
	old := w.liveIndex()
	stop()
	w.Exec(`DELETE FROM search_indices`)
	w.start()
	w.settle()
	w.same()
	w.gone(old)
}

func TestAnAliasOfAnotherDeploymentIsRefused(t *testing.T) {
	w := newDeployment(t)
	w.Must(errors.Join(w.client.Create(t.Context(), w.prefix+"others", "another"), w.client.Serve(t.Context(), w.prefix+"others")))
	_, err := Plan(t.Context(), w.Pool, w.client, true)
	if err == nil || !strings.Contains(err.Error(), "--elasticsearch-alias") {
		t.Errorf("got %v", err)
	}
}

// TestALostIndexIsMadeAnew, whether or not anything is written to it.
func TestALostIndexIsMadeAnew(t *testing.T) {
	for _, name := range []string{"while it is written", "while nothing happens"} {
		t.Run(name, func(t *testing.T) {
			w := newDeployment(t)
			w.fold(many("ada", 50)...)
			stop := w.start()
			w.settle()
			lost := w.liveIndex()
			if name == "while nothing happens" {
				stop()
			}
			w.Must(w.open(w.server).Drop(t.Context(), lost))
			if name == "while it is written" {
				w.fold(received("ada", "new"))
			} else {
				w.start()
			}
			w.Eventually("another index is searched", func() error {
				if world.Scalar[bool](w, `SELECT EXISTS (SELECT FROM search_indices WHERE state = 'live' AND name <> $1)`, lost) {
					return nil
				}
				return errors.New(w.marks())
			})
			w.settle()
			w.same()
		})
	}
}

// TestSwapMarksBothVersions: what only the old version of the mailbox has disappears, what only the new one has is found,
// and a rollback brings the first state back. Another version of the applications is another match.
func TestSwapMarksBothVersions(t *testing.T) {
	w := newDeployment(t)
	w.start()
	w.fold(received("ada", "both"), received("ada", "old"), applied("1", 1, by("ada@example.org")))
	w.settle()
	ctx := t.Context()
	version, err := ledger.CreateVersion(ctx, w.Pool, mailbox.Group().Projection())
	w.Must(err)
	changed := received("ada", "both", func(m *events.Mail) { m.Subject = "another rule" })
	shadow := consumers.Version{Number: version, Shadow: true}
	w.Must(foldInto(w.Pool, mailbox.Group(), shadow, []*events.Event{changed, received("ada", "new")}))
	w.settle()
	if n := len(w.documents()); n != 2 {
		t.Fatalf("%d documents before the swap", n)
	}
	_, err = rebuild.Swap(ctx, w.Pool, "mailbox", version, -1, "tester", "test")
	w.Must(err)
	w.settle()
	w.same()
	if _, there := w.documents()[mailID("ada", "old")]; there {
		t.Error("a mail that only the old version has is still found")
	}
	_, err = rebuild.Rollback(ctx, w.Pool, "mailbox", "tester", "test")
	w.Must(err)
	w.settle()
	w.same()

	version, err = ledger.CreateVersion(ctx, w.Pool, enrichment.Group().Projection())
	w.Must(err)
	w.Must(foldInto(w.Pool, enrichment.Group(), consumers.Version{Number: version, Shadow: true}, []*events.Event{applied("1", 1, by("ada@example.org"), inStage("Offer"))}))
	_, err = rebuild.Swap(ctx, w.Pool, "enrichment", version, -1, "tester", "test")
	w.Must(err)
	w.settle()
	w.same()
	if stage := w.documents()[mailID("ada", "old")].ATS.Stage; stage != "Offer" {
		t.Errorf("after the swap the stage is %s", stage)
	}
}

// TestADropLosesNoMark: a version that is dropped right after a swap still takes its documents away.
func TestADropLosesNoMark(t *testing.T) {
	w := newDeployment(t)
	stop := w.start()
	w.fold(received("ada", "both"), received("ada", "old"))
	w.settle()
	stop()
	ctx := t.Context()
	version, err := ledger.CreateVersion(ctx, w.Pool, mailbox.Group().Projection())
	w.Must(err)
	w.Must(foldInto(w.Pool, mailbox.Group(), consumers.Version{Number: version, Shadow: true}, []*events.Event{received("ada", "both")}))
	_, err = rebuild.Swap(ctx, w.Pool, "mailbox", version, -1, "tester", "test")
	w.Must(err)
	w.Must(ledger.DropVersion(ctx, w.Pool, mailbox.Group().Projection(), 1))
	w.start()
	w.settle()
	w.same()
}

// TestTwoAtOnceDoNoHarm: without the lock that lets one lead, the newest state of every mail wins all the same.
func TestTwoAtOnceDoNoHarm(t *testing.T) {
	w := newDeployment(t)
	_, err := Plan(t.Context(), w.Pool, w.client, false)
	w.Must(err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 3 {
		x := w.indexer(func(c *Config) { c.BatchMails = 7 })
		running.Go(func() {
			for ctx.Err() == nil {
				_, err := x.work(ctx, false)
				var refused *elastic.Error
				if errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable {
					continue // another has just made the index, whose shard is not there yet: a leader tries again, too
				}
				if err != nil && ctx.Err() == nil && !strings.Contains(err.Error(), "no longer") {
					t.Error(err)
					return
				}
			}
		})
	}
	for round := range 40 {
		var part []*events.Event
		for i := range 30 {
			part = append(part, received("ada", fmt.Sprint(i), func(m *events.Mail) { m.Subject = fmt.Sprint("round ", round) }))
		}
		w.fold(append(part, applied("1", int64(round+1), by("ada@example.org"), inStage(fmt.Sprint(round))))...)
	}
	w.settle()
	w.same()
	cancel()
	running.Wait()
}

// TestAMarkThatIsMadeAnewIsAnother: an indexer that stood still between sending a mail and clearing its mark, while another did both,
// leaves the mark that the mail has got since.
func TestAMarkThatIsMadeAnewIsAnother(t *testing.T) {
	w := newDeployment(t)
	stop := w.start()
	w.settle()
	stop()
	ctx := t.Context()
	mail := func(subject string) *events.Event {
		return received("ada", "1", func(m *events.Mail) { m.Subject = subject })
	}
	w.fold(mail("first"))
	paused := w.indexer()
	w.Must(paused.look(ctx, false))
	w.Must(paused.launch(ctx))
	w.Must(paused.land(ctx))
	stop = w.start()
	w.settle()
	stop()
	w.fold(mail("second"))
	w.Must(paused.flush(ctx, false))
	w.start()
	w.settle()
	w.same()
}

// TestSettledTellsNothingTooEarly: while a change cannot be found it says no, also when the mark was turned into another
// or made again meanwhile; and in the end it says yes, however much is folded after the time asked for.
func TestSettledTellsNothingTooEarly(t *testing.T) {
	w := newDeployment(t)
	_, err := Plan(t.Context(), w.Pool, w.client, false)
	w.Must(err)
	x := w.indexer()
	ctx := t.Context()
	step := func() {
		t.Helper()
		for busy := true; busy; {
			var err error
			busy, err = x.work(ctx, false)
			w.Must(err)
		}
	}
	for x.building || len(x.targets) == 0 {
		step()
	}
	settled := func(asked time.Time, want bool, when string) {
		t.Helper()
		got, err := Settled(ctx, w.Pool, "ada", asked, time.Now())
		w.Must(err)
		if got != want {
			t.Errorf("%s it says %v", when, got)
		}
	}
	w.fold(received("ada", "1"), received("ada", "2"))
	step()
	settled(time.Now(), true, "after the mails were indexed")

	w.fold(applied("1", 1, by("ada@example.org")))
	asked := time.Now()
	settled(asked, false, "while an address is marked")
	_, err = x.turnAddresses(ctx)
	w.Must(err)
	settled(asked, false, "when it was turned into marks of mails")

	w.Must(x.launch(ctx))
	w.fold(received("ada", "1", func(m *events.Mail) { m.Subject = "later" }))
	w.Must(x.land(ctx))
	settled(asked, false, "when the documents were sent and not refreshed")
	w.Must(x.flush(ctx, false))
	settled(asked, true, "when what was asked for can be found, though more was folded since")
	settled(time.Now(), false, "of what was folded since")
	step()
	settled(time.Now(), true, "in the end")

	_, err = w.Pool.Exec(ctx, `UPDATE search_indices SET state = 'building'`)
	w.Must(err)
	settled(asked, false, "without an index that is searched")
}

// TestMemoryIsBoundedByBytes: a bulk holds as many large mails as its bytes allow, and one that is larger alone.
func TestBulksAreBounded(t *testing.T) {
	w := newDeployment(t)
	_, err := Plan(t.Context(), w.Pool, w.client, false)
	w.Must(err)
	c := w.config()
	c.BatchBytes = 100_000
	var part []*events.Event
	for i := range 20 {
		part = append(part, received("ada", fmt.Sprint(i), func(m *events.Mail) { m.Text = strings.Repeat("word ", 8000) }))
	}
	w.fold(append(part, received("ada", "large", func(m *events.Mail) { m.Text = strings.Repeat("large ", 20_000) }))...)
	w.Exec(`UPDATE dirty_mails SET marked_at = '2000-01-01' WHERE mail_id = $1`, mailID("ada", "large"))
	x := newIndexer(c, nil)
	b, err := x.take(t.Context(), []string{"x"})
	w.Must(err)
	if len(b.marks) != 1 {
		t.Errorf("%d mails with the large one", len(b.marks))
	}
	w.Exec(`DELETE FROM dirty_mails WHERE mail_id = $1`, mailID("ada", "large"))
	b, err = x.take(t.Context(), []string{"x"})
	w.Must(err)
	w.Must(b.build())
	if len(b.marks) != 2 || b.bulk.Size() > 120_000 {
		t.Errorf("%d mails of 40 kB each and %d bytes", len(b.marks), b.bulk.Size())
	}
}
