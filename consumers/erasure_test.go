package consumers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
)

// erased is the n-th erasure of a person.
func erased(user string, n int) *events.Event {
	return &events.Event{
		Envelope: events.Envelope{Type: events.TypeUserErased, ID: fmt.Sprint("erasure-", n)},
		Erasure:  &events.Erasure{UserID: user, RecordedAt: clock},
	}
}

// mail is the n-th mail of a person.
func mail(user string, n int) *events.Event {
	return &events.Event{
		Envelope: events.Envelope{Type: events.TypeMailReceived, ID: fmt.Sprint("mail-", user, n)},
		Mail: &events.Mail{UserID: user, MessageID: fmt.Sprintf("%d@%s", n, user), Subject: "Hello",
			Sender: events.Address{Address: "x@example.com"}, ReceivedAt: clock, RecordedAt: clock},
	}
}

// broken is a record of a person's n-th decision that cannot be decoded.
func (w *world) broken(user string, n int) *kgo.Record {
	record := w.foreign(decision(user, n))
	record.Value = fmt.Appendf(nil, `{"user_id":%q,"n":%d`, user, n)
	return record
}

// letter is what a dead letter keeps of its record.
type letter struct{ State, Key, Value, Headers, UserID, Detail string }

// kept reads a group's dead letters, in log order.
func (w *world) kept(group string) []letter {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `
		SELECT state, COALESCE(encode(key, 'escape'), ''), COALESCE(encode(value, 'escape'), ''),
		       CASE WHEN headers IS NULL THEN '' ELSE 'kept' END, user_id, CASE detail WHEN '' THEN '' ELSE 'kept' END
		FROM dead_letters WHERE group_name = $1 ORDER BY partition, log_offset`, group)
	must(w.t, err)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[letter])
	must(w.t, err)
	return list
}

func open(user string, n int) letter {
	return letter{"open", user, fmt.Sprintf(`{"user_id":%q,"n":%d`, user, n), "kept", user, "kept"}
}

func TestRepeatedErasureTakesNothingMore(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	w.publish(w.foreign(decision("ann", 1)), w.foreign(erased("ann", 1)), w.foreign(decision("ann", 2)),
		w.foreign(erased("ann", 1)), w.foreign(decision("ann", 1)))
	w.folded("weights", events.TopicActions)
	if got := w.weight("ann", "category:promo"); got != 0.2 {
		t.Errorf("the weight is %v, want 0.2: of the decision after the erasure", got)
	}
	if diff := cmp.Diff(ledger{Fetched: 5, Applied: 3, Repeated: 2}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestRepeatedErasureTakesNoNewMail(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights(func(c *consumers.Config) { c.Group = mailbox.Group() }))
	onMail := func(r *kgo.Record) *kgo.Record {
		r.Topic = w.conn.Topic(events.TopicMail)
		return r
	}
	erasure := onMail(w.foreign(erased("ann", 1)))
	w.publish(w.foreign(mail("ann", 1)), erasure, w.foreign(mail("ann", 2)), erasure)
	w.folded("mailbox", events.TopicMail)
	w.publish(erasure)
	w.folded("mailbox", events.TopicMail)
	var mails int
	must(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM live_mails WHERE user_id = 'ann' AND message_id = '2@ann'").Scan(&mails))
	if mails != 1 {
		t.Errorf("%d of the mail after the erasure, want 1", mails)
	}
	if diff := cmp.Diff(ledger{Fetched: 5, Applied: 3, Repeated: 2}, w.ledger("mailbox")); diff != "" {
		t.Error(diff)
	}
}

// What is dead-lettered of a person goes with them, in a version that meets it later too; what comes after stays.
func TestErasingTakesDeadLetters(t *testing.T) {
	w := newWorld(t)
	users := usersOf(0, 2)
	ann, bob := users[0], users[1]
	w.start(w.weights())
	w.publish(w.broken(bob, 1), w.broken(ann, 2))
	w.folded("weights", events.TopicActions)
	w.publish(w.broken(ann, 3), w.foreign(erased(ann, 1)), w.broken(ann, 4))
	w.folded("weights", events.TopicActions)
	gone := letter{State: "erased"}
	want := []letter{open(bob, 1), gone, gone, open(ann, 4)}
	if diff := cmp.Diff(want, w.kept("weights")); diff != "" {
		t.Errorf("after the erasure (-want +got):\n%s", diff)
	}
	_, err := w.pool.Exec(t.Context(), "DELETE FROM dead_letters") // as if the live version had taken these records
	must(t, err)
	_, err = consumers.Rebuild(t.Context(), w.weights(), false)
	must(t, err)
	if diff := cmp.Diff(want, w.kept("weights")); diff != "" {
		t.Errorf("after a rebuild (-want +got):\n%s", diff)
	}
}

// Records that stand under another's key, or in a partition where their person's records never stand, go by the clock:
// those that are met before the erasure and those that are met after it.
func TestErasingTakesStrays(t *testing.T) {
	w := newWorld(t)
	ann, elsewhere := usersOf(0, 1)[0], usersOf(1, 1)[0]
	stray := func(n int, later time.Duration) *kgo.Record {
		record := w.foreign(decision(ann, n))
		record.Key, record.Partition, record.Timestamp = []byte(elsewhere), 1, clock.Add(later)
		return record
	}
	w.start(w.weights())
	w.publish(stray(1, 0), stray(2, time.Second))
	w.folded("weights", events.TopicActions)
	w.publish(w.foreign(erased(ann, 1)))
	w.folded("weights", events.TopicActions)
	w.publish(stray(3, 0), stray(4, time.Second))
	w.folded("weights", events.TopicActions)
	states := func() (list []string) {
		for _, letter := range w.kept("weights") {
			list = append(list, letter.State+" "+letter.Key+" "+letter.UserID)
		}
		return list
	}
	kept := "open " + elsewhere + " " + ann
	if diff := cmp.Diff([]string{"erased  ", kept, "erased  ", kept}, states()); diff != "" {
		t.Errorf("after the erasure of whom they name (-want +got):\n%s", diff)
	}
	w.publish(w.foreign(erased(elsewhere, 2)))
	w.folded("weights", events.TopicActions)
	if diff := cmp.Diff([]string{"erased  ", "erased  ", "erased  ", "erased  "}, states()); diff != "" {
		t.Errorf("after the erasure of their key's person (-want +got):\n%s", diff)
	}
}

// A record that was redriven, and whose person was erased before it came, brings nobody back.
func TestRedrivenRecordOfAnErasedPersonHasNoEffect(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	w.publish(w.foreign(decision("ann", 1)), w.foreign(decision("ann", 1, func(e *events.Event) { e.Action.Features = []string{"category:spam"} })))
	w.folded("weights", events.TopicActions)
	letters, err := consumers.ListDeadLetters(t.Context(), w.pool, consumers.DeadLetterFilter{Group: "weights", Limit: 10})
	must(t, err)
	if len(letters) != 1 || letters[0].Reason != "conflict" {
		t.Fatalf("dead letters %+v, want one conflict", letters)
	}
	must(t, consumers.Redrive(t.Context(), w.pool, w.conn, letters[0].ID, "tester", true))
	w.publish(w.foreign(erased("ann", 1)))
	w.folded("weights", events.TopicActions)
	w.relayOutbox()
	w.folded("weights", events.TopicActions)
	if _, err := consumers.Rebuild(t.Context(), w.weights(), false); err != nil {
		t.Fatal(err)
	}
	if rows := w.rowsOf("ann"); len(rows) != 0 {
		t.Errorf("ann is back in versions %v", rows)
	}
	if err := consumers.Redrive(t.Context(), w.pool, w.conn, letters[0].ID, "tester", true); err == nil {
		t.Error("an erased dead letter was redriven")
	}
}

// rowsOf lists the versions that have weights of a person.
func (w *world) rowsOf(user string) []int {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), "SELECT version FROM weight_counts WHERE user_id = $1 ORDER BY version", user)
	must(w.t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[int])
	must(w.t, err)
	return list
}

func (w *world) swapIn(version int) {
	w.t.Helper()
	_, err := consumers.Swap(w.t.Context(), w.pool, "weights", version, -1, "tester", "test")
	must(w.t, err)
}

// A version that nobody folds any more loses the person too, unless it has met the erasure itself before.
func TestErasingReachesRetiredVersions(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	w.publish(w.own(decision("ann", 1)), w.own(decision("bob", 1)))
	w.folded("weights", events.TopicActions)
	second, err := consumers.Rebuild(t.Context(), w.weights(), false)
	must(t, err)
	w.swapIn(second)
	w.publish(w.own(erased("ann", 1)), w.own(decision("ann", 2)))
	w.folded("weights", events.TopicActions)
	if diff := cmp.Diff([]int{2}, w.rowsOf("ann")); diff != "" {
		t.Errorf("versions with ann after the erasure (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 2}, w.rowsOf("bob")); diff != "" {
		t.Errorf("versions with bob (-want +got):\n%s", diff)
	}
	w.swapIn(1) // behind the erasure, which it now folds; version 2 is ahead of it
	w.folded("weights", events.TopicActions)
	if diff := cmp.Diff([]int{1, 2}, w.rowsOf("ann")); diff != "" {
		t.Errorf("versions with the new ann after going back (-want +got):\n%s", diff)
	}
}
