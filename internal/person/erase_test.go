package person_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/consumers/rebuild"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
	erasing "github.com/applylens/applylens/internal/person"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestErasingMayBeRepeated(t *testing.T) {
	w := newDeployment(t)
	w.relay()
	w.fold()
	ann := w.newPerson(canary)
	for _, when := range []string{"known", "erased", "never known"} {
		id := ann.id
		if when == "never known" {
			id = "nobody"
		}
		erased, err := erasing.Erase(t.Context(), w.Pool, id)
		w.Must(err)
		if (erased.Rows["users"] == 1) != (when == "known") || erased.EventID == "" {
			t.Errorf("%s: erased %+v", when, erased)
		}
	}
	w.settled()
	if diff := cmp.Diff([]int{0, 6}, []int{world.Scalar[int](w, "SELECT count(*) FROM users"), world.Scalar[int](w, "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL")}); diff != "" {
		t.Errorf("persons, and events sent (-want +got):\n%s", diff)
	}
	ann.receive(0, 1)
	w.settled()
	if mails := world.Scalar[int](w, "SELECT count(*) FROM live_mails WHERE user_id = $1", ann.id); mails != 1 {
		t.Errorf("%d mails of who came later under the id, want 1", mails)
	}
}

func TestWhatCannotBeAnIDIsRefused(t *testing.T) {
	w := newDeployment(t)
	for _, id := range []string{"", strings.Repeat("x", events.MaxUserID+1), "a\x00b", "\xff"} {
		var refused *events.Error
		if _, err := erasing.Erase(t.Context(), w.Pool, id); !errors.As(err, &refused) {
			t.Errorf("%q: %v, want an *events.Error", id, err)
		}
	}
	if n := world.Scalar[int](w, "SELECT count(*) FROM outbox"); n != 0 {
		t.Errorf("%d rows in the outbox", n)
	}
}

// A version that was being dropped keeps its tables for a while, and nothing shows them.
func TestErasingReachesHalfDroppedVersions(t *testing.T) {
	w, ann, _ := peopled(t)
	w.Must(w.buildPart("mailbox"))
	w.Exec("ALTER TABLE mails DETACH PARTITION mails_2")
	w.Exec("ALTER TABLE mail_addresses DETACH PARTITION mail_addresses_2")
	if n := world.Scalar[int](w, "SELECT count(*) FROM mails_2 WHERE user_id = $1", ann.id); n != 5 {
		t.Fatalf("%d mails in the detached table, want 5", n)
	}
	_, err := erasing.Erase(t.Context(), w.Pool, ann.id)
	w.Must(err)
	w.onlyTheOrderIsLeft("after the commit")
}

// The indexer takes a document away when it looks at a marked mail and finds none.
func TestErasingMarksTheMails(t *testing.T) {
	w, ann, _ := peopled(t)
	ids := func(sql string, args ...any) []string {
		return world.Column[string](w, sql, args...)
	}
	mails := ids("SELECT id::text FROM mails WHERE user_id = $1 ORDER BY 1", ann.id)
	testenv.Index(t, w.Pool)
	w.Exec("DELETE FROM dirty_mails")
	w.Exec("INSERT INTO dirty_mails (mail_id) VALUES ($1)", mails[0])
	before := w.Int("SELECT generation FROM dirty_mails")
	_, err := erasing.Erase(t.Context(), w.Pool, ann.id)
	w.Must(err)
	if diff := cmp.Diff(mails, ids("SELECT mail_id::text FROM dirty_mails ORDER BY 1")); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if w.Int("SELECT generation FROM dirty_mails WHERE mail_id = $1", mails[0]) == before {
		t.Error("a mark is as it was before")
	}
}

// erase begins to erase a person and returns when that waits for a lock, behind others, with what waits for its end.
func (p *person) erase(behind int) (finish func()) {
	p.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := erasing.Erase(context.Background(), p.Pool, p.id)
		ended <- err
	}()
	p.untilWaiting(behind + 1)
	return func() {
		p.Helper()
		p.Must(<-ended)
	}
}

// untilWaiting waits until some sessions wait for locks.
func (w *deployment) untilWaiting(sessions int) {
	w.Helper()
	w.Eventually("sessions wait for a lock", func() error {
		waiting := world.Scalar[int](w, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
		return world.Want(waiting == sessions, "%d of %d", waiting, sessions)
	})
}

// hold runs a statement in a transaction that stays open until the returned function is called.
func (w *deployment) hold(sql string, args ...any) (release func()) {
	w.Helper()
	tx, err := w.Pool.Begin(w.Context())
	w.Must(err)
	w.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(w.Context(), sql, args...)
	w.Must(err)
	return func() {
		w.Helper()
		w.Must(tx.Rollback(w.Context()))
	}
}

// pending returns an action of the person that waits for a decision.
func (p *person) pending() string {
	p.Helper()
	return world.Scalar[string](p, "SELECT id::text FROM actions WHERE user_id = $1 AND status = 'pending' ORDER BY created_at LIMIT 1", p.id)
}

// A decision that came first is taken, and then erased with all the rest.
func TestDecisionBeforeTheErasure(t *testing.T) {
	w, ann, _ := peopled(t)
	action := ann.pending()
	release := w.hold("SELECT FROM actions WHERE id = $1 FOR UPDATE", action)
	decided := make(chan struct{})
	go func() {
		defer close(decided)
		ann.ask(http.MethodPost, "/actions/"+action+"/approve", http.StatusOK, nil)
	}()
	w.untilWaiting(1)
	finish := ann.erase(1)
	release()
	<-decided
	finish()
	w.onlyTheOrderIsLeft("after a decision that came first")
}

// A decision that comes while the erasure is at work finds that there is no such person.
func TestDecisionDuringTheErasure(t *testing.T) {
	w, ann, _ := peopled(t)
	release := w.hold("SELECT FROM outbox WHERE user_id = $1 FOR UPDATE", ann.id)
	finish := ann.erase(0)
	decided := make(chan struct{})
	go func() {
		defer close(decided)
		ann.ask(http.MethodPost, "/actions/"+ann.pending()+"/approve", http.StatusUnauthorized, nil)
	}()
	w.untilWaiting(2)
	release()
	finish()
	<-decided
	w.onlyTheOrderIsLeft("after a decision that came during it")
}

// While a person is erased, however long it takes, their partition and all others are folded.
func TestFoldsGoOnDuringTheErasure(t *testing.T) {
	w := newDeployment(t)
	stopRelay := w.relay()
	w.fold()
	ann := w.newPerson(canary)
	ann.receive(0, 5)
	w.settled()
	ann.decide()
	bob := &person{deployment: w, word: bystander}
	for n := 0; bob.id == "" || w.PartitionOf(bob.id) != w.PartitionOf(ann.id); n++ {
		bob.id = fmt.Sprint("user-", bystander, n)
	}
	bob.Publish(bob.record(bob.id, bob.decision(0)))
	w.settled()
	stopRelay()
	release := w.hold("SELECT FROM outbox WHERE user_id = $1 FOR UPDATE", ann.id)
	finish := ann.erase(0)
	w.Publish(ann.record(ann.id, ann.decision(1)), bob.record(bob.id, bob.decision(1)))
	w.AwaitFolded("weights", events.TopicActions)
	w.AwaitFolded("policystats", events.TopicActions)
	release()
	finish()
	w.onlyTheOrderIsLeft("after the commit")
	if approvals := world.Scalar[int](w, "SELECT approvals FROM weight_counts WHERE user_id = $1", bob.id); approvals != 2 {
		t.Errorf("the other has %d approvals, want 2", approvals)
	}
}

// A dead letter that is being redriven is erased, and so is what goes out again.
func TestRedrivingBeforeTheErasure(t *testing.T) {
	w, ann, _ := peopled(t)
	letter := world.Scalar[int64](w, "SELECT min(id) FROM dead_letters WHERE user_id = $1 AND group_name = 'weights'", ann.id)
	release := w.hold("LOCK TABLE outbox IN EXCLUSIVE MODE")
	redriven := make(chan error, 1)
	go func() {
		redriven <- operate.Redrive(context.Background(), w.Pool, w.Conn, letter, "tester", false)
	}()
	w.untilWaiting(1)
	finish := ann.erase(1)
	release()
	w.Must(<-redriven)
	finish()
	w.onlyTheOrderIsLeft("after a dead letter was redriven")
	if err := operate.Redrive(t.Context(), w.Pool, w.Conn, letter, "tester", false); err == nil {
		t.Error("an erased dead letter can be redriven")
	}
}

// Somebody may be known as the key of another's record only.
func TestErasingThePersonOfAKey(t *testing.T) {
	w, ann, _ := peopled(t)
	for _, letter := range w.letters("weights") {
		w.Must(operate.Redrive(t.Context(), w.Pool, w.Conn, letter, "tester", false))
	}
	if diff := cmp.Diff([]string{"public.dead_letters", "public.outbox"}, w.find(otherKey).tables()); diff != "" {
		t.Fatalf("tables with the key (-want +got):\n%s", diff)
	}
	_, err := erasing.Erase(t.Context(), w.Pool, otherKey)
	w.Must(err)
	if diff := cmp.Diff(found{"public.outbox": 2}, w.find(otherKey)); diff != "" {
		t.Errorf("of the key (-want +got):\n%s", diff)
	}
	if len(w.find(ann.word)) < 10 {
		t.Errorf("the other person is only in %v", w.find(ann.word))
	}
}

// Erasing again and again, while the person and another one decide, loses nothing of the other and mixes nothing up.
func TestErasingBesideLiveTraffic(t *testing.T) {
	w := newDeployment(t)
	w.relay()
	w.fold()
	ann, bob := w.newPerson(canary), w.newPerson(bystander)
	ctx, cancel := context.WithCancel(t.Context())
	traffic := make(chan int)
	go func() {
		published := 0
		for ctx.Err() == nil {
			for _, p := range []*person{ann, bob} {
				p.Publish(p.record(p.id, p.decision(published)))
			}
			published++
		}
		traffic <- published
	}()
	for range 10 {
		w.Until("the person has weights", func() bool {
			return world.Scalar[bool](w, "SELECT EXISTS (SELECT FROM weight_counts WHERE user_id = $1)", ann.id)
		})
		_, err := erasing.Erase(t.Context(), w.Pool, ann.id)
		w.Must(err)
	}
	cancel()
	published := <-traffic
	_, err := erasing.Erase(t.Context(), w.Pool, ann.id)
	w.Must(err)
	w.settled()
	w.Exec("DELETE FROM outbox")
	if diff := cmp.Diff(found{}, w.find(canary)); diff != "" {
		t.Errorf("left of the erased person (-want +got):\n%s", diff)
	}
	if approvals := world.Scalar[int](w, "SELECT approvals FROM weight_counts WHERE user_id = $1", bob.id); approvals != published {
		t.Errorf("the other has %d approvals, want %d", approvals, published)
	}
	for _, group := range w.groups {
		_, err := rebuild.Run(t.Context(), w.config(group), false)
		w.Must(err)
		compared, err := rebuild.Compare(t.Context(), w.config(group))
		w.Must(err)
		if !compared.Equal() {
			t.Errorf("a rebuild of %s differs: %+v", group.Name, compared)
		}
	}
}

// A backup that is older than the erasure does not bring the person back.
func TestRestoredDatabaseObeysTheErasure(t *testing.T) {
	w, ann, bob := peopled(t)
	w.retire("weights")
	backup := testenv.CopyDatabase(t, w.Pool)
	_, err := erasing.Erase(t.Context(), w.Pool, ann.id)
	w.Must(err)
	stopRelay := w.relay()
	w.AwaitPublished()
	stopRelay()

	w.use(backup)
	w.Exec("UPDATE deployment SET system_identifier = 1, timeline_id = 1") // as another server is told by
	if len(w.find(canary)) < 10 {
		t.Fatalf("the backup has the person only in %v", w.find(canary))
	}
	before := w.digests(bystander)
	delete(before, "public.outbox") // its rows are marked as sent
	w.relay()
	w.fold()
	w.settled()
	w.Until("the relay has read the log", func() bool {
		return world.Scalar[bool](w, "SELECT system_identifier <> 1 FROM deployment")
	})
	if diff := cmp.Diff(found{}, w.find(canary)); diff != "" {
		t.Errorf("of the erased person (-want +got):\n%s", diff)
	}
	after := w.digests(bystander)
	delete(after, "public.outbox")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("of the other (-before +after):\n%s", diff)
	}
	bob.ask(http.MethodGet, "/actions/tray", http.StatusOK, nil)
	ann.ask(http.MethodGet, "/actions/tray", http.StatusUnauthorized, nil)
}
