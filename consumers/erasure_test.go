package consumers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/consumers/rebuild"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// erased is the n-th erasure of a person.
func erased(user string, n int) *events.Event {
	return &events.Event{
		Envelope: events.Envelope{Type: events.TypeUserErased, ID: fmt.Sprint("erasure-", n)},
		Erasure:  &events.Erasure{UserID: user, RecordedAt: world.Noon},
	}
}

// mail is the n-th mail of a person.
func mail(user string, n int) *events.Event {
	return &events.Event{
		Envelope: events.Envelope{Type: events.TypeMailReceived, ID: fmt.Sprint("mail-", user, n)},
		Mail: &events.Mail{UserID: user, MessageID: fmt.Sprintf("%d@%s", n, user), Subject: "Hello",
			Sender: events.Address{Address: "x@example.com"}, ReceivedAt: world.Noon, RecordedAt: world.Noon},
	}
}

// broken is a record of a person's n-th decision that cannot be decoded.
func broken(w *grouptest.Loop, user string, n int) *kgo.Record {
	record := w.Foreign(world.Decision(user, n))
	record.Value = fmt.Appendf(nil, `{"user_id":%q,"n":%d`, user, n)
	return record
}

// letter is what a dead letter keeps of its record.
type letter struct{ State, Key, Value, Headers, UserID, Detail string }

// kept reads a group's dead letters, in log order.
func kept(w *grouptest.Loop, group string) []letter {
	w.Helper()
	return world.Rows[letter](w, `
		SELECT state, COALESCE(encode(key, 'escape'), ''), COALESCE(encode(value, 'escape'), ''),
		       CASE WHEN headers IS NULL THEN '' ELSE 'kept' END, user_id, CASE detail WHEN '' THEN '' ELSE 'kept' END
		FROM dead_letters WHERE group_name = $1 ORDER BY partition, log_offset`, group)
}

func open(user string, n int) letter {
	return letter{"open", user, fmt.Sprintf(`{"user_id":%q,"n":%d`, user, n), "kept", user, "kept"}
}

func TestRepeatedErasureTakesNothingMore(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.Publish(w.Foreign(world.Decision("ann", 1)), w.Foreign(erased("ann", 1)), w.Foreign(world.Decision("ann", 2)),
		w.Foreign(erased("ann", 1)), w.Foreign(world.Decision("ann", 1)))
	w.AwaitWeights()
	if got := w.Weight("ann", "category:promo"); got != 0.2 {
		t.Errorf("the weight is %v, want 0.2: of the decision after the erasure", got)
	}
	if diff := cmp.Diff(world.Ledger{Fetched: 5, Applied: 3, Repeated: 2}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestRepeatedErasureTakesNoNewMail(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights(func(c *consumers.Config) { c.Group = mailbox.Group() }))
	onMail := func(r *kgo.Record) *kgo.Record {
		r.Topic = w.Conn.Topic(events.TopicMail)
		return r
	}
	erasure := onMail(w.Foreign(erased("ann", 1)))
	w.Publish(w.Foreign(mail("ann", 1)), erasure, w.Foreign(mail("ann", 2)), erasure)
	w.AwaitFolded("mailbox", events.TopicMail)
	w.Publish(erasure)
	w.AwaitFolded("mailbox", events.TopicMail)
	mails := world.Scalar[int](w, "SELECT count(*) FROM live_mails WHERE user_id = 'ann' AND message_id = '2@ann'")
	if mails != 1 {
		t.Errorf("%d of the mail after the erasure, want 1", mails)
	}
	if diff := cmp.Diff(world.Ledger{Fetched: 5, Applied: 3, Repeated: 2}, w.Ledger("mailbox")); diff != "" {
		t.Error(diff)
	}
}

// What is dead-lettered of a person goes with them, in a version that meets it later too; what comes after stays.
func TestErasingTakesDeadLetters(t *testing.T) {
	w := grouptest.New(t)
	users := w.UsersOf(0, 2)
	ann, bob := users[0], users[1]
	w.Start(w.Weights())
	w.Publish(broken(w, bob, 1), broken(w, ann, 2))
	w.AwaitWeights()
	w.Publish(broken(w, ann, 3), w.Foreign(erased(ann, 1)), broken(w, ann, 4))
	w.AwaitWeights()
	gone := letter{State: "erased"}
	want := []letter{open(bob, 1), gone, gone, open(ann, 4)}
	if diff := cmp.Diff(want, kept(w, "weights")); diff != "" {
		t.Errorf("after the erasure (-want +got):\n%s", diff)
	}
	w.Exec("DELETE FROM dead_letters") // as if the live version had taken these records
	_, err := rebuild.Run(t.Context(), w.Weights(), false)
	w.Must(err)
	if diff := cmp.Diff(want, kept(w, "weights")); diff != "" {
		t.Errorf("after a rebuild (-want +got):\n%s", diff)
	}
}

// Records that stand under another's key, or in a partition where their person's records never stand, go by the clock:
// those that are met before the erasure and those that are met after it.
func TestErasingTakesStrays(t *testing.T) {
	w := grouptest.New(t)
	ann, elsewhere := w.UsersOf(0, 1)[0], w.UsersOf(1, 1)[0]
	stray := func(n int, later time.Duration) *kgo.Record {
		record := w.Foreign(world.Decision(ann, n))
		record.Key, record.Partition, record.Timestamp = []byte(elsewhere), 1, world.Noon.Add(later)
		return record
	}
	w.Start(w.Weights())
	w.Publish(stray(1, 0), stray(2, time.Second))
	w.AwaitWeights()
	w.Publish(w.Foreign(erased(ann, 1)))
	w.AwaitWeights()
	w.Publish(stray(3, 0), stray(4, time.Second))
	w.AwaitWeights()
	states := func() (list []string) {
		for _, letter := range kept(w, "weights") {
			list = append(list, letter.State+" "+letter.Key+" "+letter.UserID)
		}
		return list
	}
	kept := "open " + elsewhere + " " + ann
	if diff := cmp.Diff([]string{"erased  ", kept, "erased  ", kept}, states()); diff != "" {
		t.Errorf("after the erasure of whom they name (-want +got):\n%s", diff)
	}
	w.Publish(w.Foreign(erased(elsewhere, 2)))
	w.AwaitWeights()
	if diff := cmp.Diff([]string{"erased  ", "erased  ", "erased  ", "erased  "}, states()); diff != "" {
		t.Errorf("after the erasure of their key's person (-want +got):\n%s", diff)
	}
}

// A record that was redriven, and whose person was erased before it came, brings nobody back.
func TestRedrivenRecordOfAnErasedPersonHasNoEffect(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.Publish(w.Foreign(world.Decision("ann", 1)), w.Foreign(world.Decision("ann", 1, world.Features("category:spam"))))
	w.AwaitWeights()
	letters, err := ledger.DeadLetters(t.Context(), w.Pool, ledger.LetterFilter{Group: "weights", Limit: 10})
	w.Must(err)
	if len(letters) != 1 || letters[0].Reason != "conflict" {
		t.Fatalf("dead letters %+v, want one conflict", letters)
	}
	w.Must(operate.Redrive(t.Context(), w.Pool, w.Conn, letters[0].ID, "tester", true))
	w.Publish(w.Foreign(erased("ann", 1)))
	w.AwaitWeights()
	w.RelayOutbox()
	w.AwaitWeights()
	if _, err := rebuild.Run(t.Context(), w.Weights(), false); err != nil {
		t.Fatal(err)
	}
	if rows := rowsOf(w, "ann"); len(rows) != 0 {
		t.Errorf("ann is back in versions %v", rows)
	}
	if err := operate.Redrive(t.Context(), w.Pool, w.Conn, letters[0].ID, "tester", true); err == nil {
		t.Error("an erased dead letter was redriven")
	}
}

// A topic that is recreated has other records at the same places: what became of the record that stood there says nothing.
func TestRedrivenRecordIsTheOneOfItsTopic(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.Publish(w.Foreign(world.Decision("ann", 1)), w.Foreign(world.Decision("ann", 1, world.Features("category:spam"))))
	w.AwaitWeights()
	w.Exec(`
		INSERT INTO dead_letters (group_name, version, cluster_id, topic, topic_id, partition, log_offset, value_bytes, reason, detail, state)
		SELECT group_name, version, cluster_id, topic, gen_random_uuid(), partition, log_offset, 0, reason, '', 'erased' FROM dead_letters`)
	letter := world.Scalar[int64](w, "SELECT id FROM dead_letters WHERE state = 'open'")
	w.Must(operate.Redrive(t.Context(), w.Pool, w.Conn, letter, "tester", true))
	w.RelayOutbox()
	w.AwaitWeights()
	if got := w.Weight("ann", "category:spam"); got != 0.2 {
		t.Errorf("the redriven decision taught %v, want 0.2", got)
	}
}

// rowsOf lists the versions that have weights of a person.
func rowsOf(w *grouptest.Loop, user string) []int {
	w.Helper()
	return world.Column[int](w, "SELECT version FROM weight_counts WHERE user_id = $1 ORDER BY version", user)
}

func swapIn(w *grouptest.Loop, version int) {
	w.Helper()
	_, err := rebuild.Swap(w.Context(), w.Pool, "weights", version, -1, "tester", "test")
	w.Must(err)
}

// A version that nobody folds any more loses the person too, unless it has met the erasure itself before.
func TestErasingReachesRetiredVersions(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.Publish(w.Own(world.Decision("ann", 1)), w.Own(world.Decision("bob", 1)))
	w.AwaitWeights()
	second, err := rebuild.Run(t.Context(), w.Weights(), false)
	w.Must(err)
	swapIn(w, second)
	w.Publish(w.Own(erased("ann", 1)), w.Own(world.Decision("ann", 2)))
	w.AwaitWeights()
	if diff := cmp.Diff([]int{2}, rowsOf(w, "ann")); diff != "" {
		t.Errorf("versions with ann after the erasure (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 2}, rowsOf(w, "bob")); diff != "" {
		t.Errorf("versions with bob (-want +got):\n%s", diff)
	}
	swapIn(w, 1) // behind the erasure, which it now folds; version 2 is ahead of it
	w.AwaitWeights()
	if diff := cmp.Diff([]int{1, 2}, rowsOf(w, "ann")); diff != "" {
		t.Errorf("versions with the new ann after going back (-want +got):\n%s", diff)
	}
}
