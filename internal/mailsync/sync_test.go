package mailsync_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/imapbox"
	"github.com/applylens/applylens/internal/mailsync"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/producers/mailimport"
	"github.com/applylens/applylens/producers/relay"
)

// What is there comes in, then what comes, and what another client does is told: the story of one mailbox.
func TestAMailboxIsFollowed(t *testing.T) {
	t.Parallel()
	w := newDeployment(t, "ann")
	w.Kfake()
	for i := range 5 {
		w.dovecot.Deliver("ann", message(fmt.Sprint(i, "@x"), fmt.Sprint("old ", i)))
	}
	w.add("ann")
	w.run("one")
	w.agreed("ann")
	w.Eventually("the account is live", func() error {
		state := world.Scalar[string](w, `SELECT state || error FROM accounts`)
		return world.Want(state == "live", "it is %s", state)
	})
	w.dovecot.Deliver("ann", message("new@x", "new"))
	w.agreed("ann")
	counts := w.received()
	if diff := cmp.Diff(map[string]int{"0@x": 1, "1@x": 1, "2@x": 1, "3@x": 1, "4@x": 1, "new@x": 1}, counts); diff != "" {
		t.Fatal(diff)
	}

	other := w.client("ann")
	_, err := other.Select(t.Context(), imapbox.Inbox)
	w.Must(err)
	w.Must(other.CreateFolder(t.Context(), "Bücher", ""))
	uids, err := other.Find(t.Context(), "0@x")
	w.Must(err)
	_, err = other.Move(t.Context(), uids[0], "Bücher", nil)
	w.Must(err)
	uids, err = other.Find(t.Context(), "1@x")
	w.Must(err)
	w.Must(other.Keyword(t.Context(), uids[0], "$Later", true))
	w.raw("ann", "SELECT INBOX", "COPY 2 Archive", "STORE 3 +FLAGS (\\Seen)", "STORE 4 +FLAGS (\\Deleted)", "EXPUNGE")
	w.agreed("ann")
	want := map[string]string{"0@x": "Bücher ", "1@x": "INBOX $Later", "2@x": "Archive,INBOX ", "3@x": "INBOX ", "4@x": " ", "new@x": "INBOX "}
	w.Eventually("everything is told", func() error {
		diff := cmp.Diff(want, w.places("ann"))
		return world.Want(diff == "", "%s", diff)
	})
	for id, count := range w.received() {
		if count != 1 {
			t.Errorf("%s was published %d times", id, count)
		}
	}
	// A mail that was moved was never told to be gone.
	for _, row := range w.Outbox("user_id = 'ann' AND type = 'applylens.mail.changed.v1'") {
		if c := row.Event.MailChange; c.MessageID == "0@x" && len(c.Folders) == 0 {
			t.Error("a mail that was moved was told to be gone")
		}
	}
	if told := len(w.Outbox("type = 'applylens.mail.changed.v1'")); told > 6+6 {
		t.Errorf("%d changes were told", told)
	}

	w.raw("ann", "DELETE B&APw-cher")
	w.agreed("ann")
	w.raw("ann", "CREATE B&APw-cher", "SELECT INBOX", "MOVE 1 B&APw-cher")
	w.agreed("ann")
	w.dovecot.Deliver("ann", strings.Replace(message("broken", "x"), "From:", "\x00\x01:", 1)+"\r\n")
	w.agreed("ann")
}

// Folders that people do not look into stay out, and what is moved into one is gone.
func TestFoldersThatAreLeftOut(t *testing.T) {
	t.Parallel()
	w := newDeployment(t, "ann")
	w.Kfake()
	w.dovecot.Deliver("ann", message("spam@x", "spam"))
	w.dovecot.Deliver("ann", message("mail@x", "mail"))
	w.add("ann")
	w.run("one")
	w.agreed("ann")
	w.raw("ann", "SELECT INBOX", "MOVE 1 Junk", "CREATE Papierkorb")
	w.raw("ann", "SELECT INBOX", "COPY 1 Drafts", "COPY 1 Papierkorb")
	w.Eventually("the mail in Junk is gone", func() error {
		diff := cmp.Diff(map[string]string{"spam@x": " ", "mail@x": "INBOX "}, w.places("ann"))
		return world.Want(diff == "", "%s", diff)
	})
	if n := w.Int(`SELECT count(*) FROM account_mails m JOIN account_folders f ON f.id = m.folder_id WHERE f.name <> 'INBOX'`); n != 0 {
		t.Errorf("%d mails of other folders are in the index", n)
	}
}

// Processes share accounts, and one takes over what another leaves.
func TestProcessesShareAccounts(t *testing.T) {
	t.Parallel()
	users := []string{"u0", "u1", "u2", "u3", "u4", "u5"}
	w := newDeployment(t, users...)
	w.Kfake()
	for _, user := range users {
		w.add(user)
		w.dovecot.Deliver(user, message(user+"@x", "hello"))
	}
	few := func(c *mailsync.Config) { c.Most = 4 }
	stop := w.run("one", few)
	w.run("two", few)
	for _, user := range users {
		w.agreed(user)
	}
	if n := w.Int(`SELECT count(DISTINCT holder) FROM account_leases`); n != 2 {
		t.Errorf("%d processes watch accounts", n)
	}
	stop()
	w.Exec(`UPDATE accounts SET stopped = true WHERE id IN (SELECT account_id FROM account_leases WHERE holder = 'two' LIMIT 2)`)
	w.Eventually("the other has taken over", func() error {
		n := w.Int(`SELECT count(*) FROM account_leases WHERE holder = 'two' AND until > now()`)
		return world.Want(n == 4, "%d accounts are watched", n)
	})
}

// Mail of an account goes the whole way, and mail that was imported before is the same mail.
func TestMailOfAnAccountIsFolded(t *testing.T) {
	t.Parallel()
	w := newDeployment(t, "ann")
	w.Kfake()
	grouptest.Start(w.World, grouptest.Config(w.World, mailbox.Group()))
	w.Background("the relay", func(ctx context.Context) error {
		return relay.Run(ctx, relay.Config{Pool: w.Pool, Conn: w.Conn, Log: w.Logger, Signal: w.Signal})
	})
	imported := message("one@x", "one")
	result, err := mailimport.Run(t.Context(), w.Conn, mailimport.Config{Paths: []string{mailimport.Stdin},
		Stdin: strings.NewReader("From x Tue Dec  1 10:00:00 2026\n" + imported), UserID: "ann", Now: time.Now, Log: w.Logger})
	w.Must(err)
	if result.Imported != 1 {
		t.Fatalf("imported %+v", result)
	}
	w.dovecot.Deliver("ann", imported)
	w.dovecot.Deliver("ann", message("two@x", "two"))
	w.add("ann")
	w.run("one", func(c *mailsync.Config) { c.Wake = w.Signal.Set })
	w.agreed("ann")
	w.AwaitPublished()
	w.AwaitFolded("mailbox", events.TopicMail)
	if diff := cmp.Diff([]string{"one", "two"}, world.Column[string](w, `SELECT subject FROM live_mails WHERE user_id = 'ann' ORDER BY subject`)); diff != "" {
		t.Error(diff)
	}
	if n := w.Int(`SELECT count(*) FROM dead_letters`); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	same := w.Int(`SELECT count(*) FROM live_mails m JOIN account_mails a ON a.message_id = m.message_id AND a.content_hash = encode(m.identity_hash, 'hex')`)
	if same != 2 {
		t.Errorf("%d mails have the same identity in the mailbox and in the index", same)
	}
}

// A server that can nothing but what IMAP had in 2003 is asked again and again, and the same comes of it.
func TestAServerWithoutExtensions(t *testing.T) {
	t.Parallel()
	w := newDeploymentOn(t, "imap_capability = IMAP4rev1 LITERAL+", "ann")
	w.Kfake()
	box := w.client("ann")
	for _, extension := range []string{imapbox.Idling, imapbox.CondStore, imapbox.UIDPlus, imapbox.SpecialUse, "ESEARCH"} {
		if box.Has(extension) {
			t.Fatalf("the server has %s", extension)
		}
	}
	for i := range 3 {
		w.dovecot.Deliver("ann", message(fmt.Sprint(i, "@x"), "x"))
	}
	w.add("ann")
	w.run("one", func(c *mailsync.Config) { c.Poll = 200 * time.Millisecond })
	w.agreed("ann")
	w.dovecot.Deliver("ann", message("new@x", "new"))
	w.agreed("ann")
	w.raw("ann", "SELECT INBOX", "STORE 1 +FLAGS ($Later \\Seen)", "COPY 2 Archive", "STORE 2:3 +FLAGS (\\Deleted)", "EXPUNGE")
	w.agreed("ann")
	want := map[string]string{"0@x": "INBOX $Later", "1@x": "Archive ", "2@x": " ", "new@x": "INBOX "}
	w.Eventually("everything is told", func() error {
		diff := cmp.Diff(want, w.places("ann"))
		return world.Want(diff == "", "%s", diff)
	})
	counts := w.received()
	if diff := cmp.Diff(map[string]int{"0@x": 1, "1@x": 1, "2@x": 1, "new@x": 1}, counts); diff != "" {
		t.Error(diff)
	}
	if told := len(w.Outbox("type = 'applylens.mail.changed.v1'")); told > 9 {
		t.Errorf("%d changes were told", told)
	}
}
