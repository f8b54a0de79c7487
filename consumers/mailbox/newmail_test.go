package mailbox

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// aged returns an event of mail that came some time ago.
func aged(user, messageID, text string, age time.Duration) *events.Event {
	event := received(user, messageID, text, 0)
	event.Mail.ReceivedAt = time.Now().Add(-age)
	return event
}

const (
	day     = 24 * time.Hour
	newRows = `SELECT m.user_id || ' ' || m.message_id || CASE WHEN n.late THEN ' late' ELSE '' END || CASE WHEN n.considered_at IS NULL THEN '' ELSE ' considered' END
		FROM new_mails n JOIN (SELECT DISTINCT id, user_id, message_id FROM mails) m ON m.id = n.mail_id AND m.user_id = n.user_id`
)

// Mail is new when the live version folds it first, and never again: not when it is read or sent again, or changes, or when another
// version is live.
func TestMailIsNewOnce(t *testing.T) {
	db, _ := testenv.Database(t)
	f := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, texts(t, db, newRows), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	run := []*events.Event{
		aged("u1", "now", "x", time.Minute), aged("u1", "coming", "x", -day), aged("u2", "yesterday", "x", day-time.Minute),
		aged("u1", "late", "x", day+time.Minute), aged("u2", "just", "x", 30*day-time.Minute), aged("u2", "old", "x", 30*day+time.Minute),
	}
	store(t, db, consumers.Version{Number: 1, Shadow: true}, run)
	f()
	store(t, db, live, run)
	f("u1 coming", "u1 late late", "u1 now", "u2 just late", "u2 yesterday")

	if _, err := db.Exec(t.Context(), "UPDATE new_mails SET considered_at = now()"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "CREATE TABLE mails_2 PARTITION OF mails FOR VALUES IN (2); CREATE TABLE mail_addresses_2 PARTITION OF mail_addresses FOR VALUES IN (2); CREATE TABLE mail_correspondents_2 PARTITION OF mail_correspondents FOR VALUES IN (2)"); err != nil {
		t.Fatal(err)
	}
	considered := []string{"u1 coming considered", "u1 late late considered", "u1 now considered", "u2 just late considered", "u2 yesterday considered"}
	store(t, db, live, run)
	store(t, db, live, []*events.Event{aged("u1", "now", "y", time.Minute), aged("u1", "now", "x", time.Minute), aged("u1", "now", "y", time.Hour)})
	store(t, db, consumers.Version{Number: 2}, run)
	f(considered...)
	store(t, db, live, []*events.Event{aged("u2", "next", "x", 0)})
	f(append([]string{considered[0], considered[1], considered[2], considered[3], "u2 next"}, considered[4])...)
}

// An erasure takes what is new with it, and what comes after it is new.
func TestErasedMailIsNotNew(t *testing.T) {
	db, _ := testenv.Database(t)
	a, b := aged("u1", "a", "x", 0), aged("u1", "b", "x", 0)
	store(t, db, live, []*events.Event{a, aged("u2", "c", "x", 0)}, []*events.Event{b, erased("u1")})
	if diff := cmp.Diff([]string{"u2 c"}, texts(t, db, newRows)); diff != "" {
		t.Errorf("after the erasure: (-want +got)\n%s", diff)
	}
	if n := texts(t, db, "SELECT count(*)::text FROM new_mails"); n[0] != "1" {
		t.Errorf("%s rows, want 1", n[0])
	}
	store(t, db, live, []*events.Event{b, erased("u1"), a})
	if diff := cmp.Diff([]string{"u1 a", "u2 c"}, texts(t, db, newRows)); diff != "" {
		t.Errorf("mail of who came later: (-want +got)\n%s", diff)
	}
}

// What has served its time goes as fast as other mail comes, also where nobody proposes.
func TestNewMailIsForgotten(t *testing.T) {
	db, _ := testenv.Database(t)
	var run []*events.Event
	for _, id := range []string{"a", "b", "c", "d"} {
		run = append(run, aged("u1", id, "x", 0))
	}
	store(t, db, live, run)
	if _, err := db.Exec(t.Context(), "UPDATE new_mails SET folded_at = folded_at - interval '31 days', received_at = received_at - interval '31 days'"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ id, left string }{{"e", "3"}, {"f", "2"}, {"g", "3"}} { // two go with each
		store(t, db, live, []*events.Event{aged("u1", step.id, "x", 0)})
		if n := texts(t, db, "SELECT count(*)::text FROM new_mails"); n[0] != step.left {
			t.Errorf("%s rows after %s, want %s", n[0], step.id, step.left)
		}
	}
}
