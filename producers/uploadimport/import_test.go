package uploadimport_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/person"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/internal/uploads"
	"github.com/applylens/applylens/producers/relay"
	"github.com/applylens/applylens/producers/uploadimport"
)

// deployment is a broker, a database, a directory and the mailbox's group.
type deployment struct {
	*world.World
	store *uploads.Store
	dir   string
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	t.Parallel()
	w := &deployment{World: world.New(t).Kafka(), dir: filepath.Join(t.TempDir(), "uploads")}
	w.Patience = time.Minute
	var err error
	w.store, err = uploads.Open(w.Pool, w.dir, uploads.DefaultLimits())
	w.Must(err)
	grouptest.Start(w.World, grouptest.Config(w.World, mailbox.Group()))
	return w
}

// run runs an importer until the returned function is called or the test ends.
func (w *deployment) run() (stop func()) {
	w.Helper()
	return w.Background("an importer", func(ctx context.Context) error {
		return uploadimport.Run(ctx, uploadimport.Config{Pool: w.Pool, Conn: w.Conn, Store: w.store, Log: w.Logger, Poll: 20 * time.Millisecond})
	})
}

func (w *deployment) person(id string) {
	w.Helper()
	_, err := auth.NewStore(w.Pool).CreateUser(w.Context(), auth.User{ID: id})
	w.Must(err)
}

// upload stores a file of a person.
func (w *deployment) upload(user, name, content string) events.UUID {
	w.Helper()
	w.Must(w.store.Put(w.Context(), user, name, []byte(content)))
	list, _, err := w.store.List(w.Context(), user)
	w.Must(err)
	return list[0].ID
}

// settled waits until an upload is done and visible, or failed.
func (w *deployment) settled(user string, id events.UUID) *uploads.Upload {
	w.Helper()
	var u *uploads.Upload
	w.Until("the import ends", func() bool {
		var err error
		u, err = w.store.Find(w.Context(), user, id)
		w.Must(err)
		return u.State == uploads.Failed || u.State == uploads.Done && u.Visible
	})
	w.Until("the file is gone", func() bool {
		_, err := os.Stat(w.store.Folder(id))
		return os.IsNotExist(err)
	})
	return u
}

func (w *deployment) mails(user string) int {
	w.Helper()
	return w.Int(`SELECT count(*) FROM live_mails WHERE user_id = $1`, user)
}

// mbox has numbered messages.
func mbox(from, count int) string {
	var b strings.Builder
	for i := from; i < from+count; i++ {
		fmt.Fprintf(&b, "From x Mon Nov  2 12:00:00 2026\nMessage-ID: <%d@shop.example>\nDate: Mon, 2 Nov 2026 12:00:00 +0000\nFrom: shop@shop.example\nSubject: %d\n\ntext\n\n", i, i)
	}
	return b.String()
}

func zipped(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range files {
		member, err := w.Create(name)
		world.Must(t, err)
		_, err = io.WriteString(member, content)
		world.Must(t, err)
	}
	world.Must(t, w.Close())
	return b.String()
}

// expected is what a file could have been that is none of it.
const expected = "expected an mbox, a message, or a zip or tar archive of such files or of a Maildir"

func TestImport(t *testing.T) {
	w := newDeployment(t)
	w.person("alice")
	w.person("bob")
	w.run()
	f := func(name, content string, mails int, want uploads.Upload) {
		t.Helper()
		before := w.mails("alice")
		u := w.settled("alice", w.upload("alice", name, content))
		got := uploads.Upload{State: u.State, Error: u.Error, Progress: u.Progress}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(uploads.Progress{}, "Read"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		if added := w.mails("alice") - before; added != mails {
			t.Errorf("%s: %d mails came, want %d", name, added, mails)
		}
	}
	done := func(p uploads.Progress) uploads.Upload { return uploads.Upload{State: uploads.Done, Progress: p} }
	failed := func(fault string, p uploads.Progress) uploads.Upload {
		return uploads.Upload{State: uploads.Failed, Error: fault, Progress: p}
	}
	f("box.mbox", mbox(0, 700), 700, done(uploads.Progress{Imported: 700}))
	f("again.mbox", mbox(0, 700), 0, done(uploads.Progress{Imported: 700}))
	f("takeout.zip", zipped(t, map[string]string{"Takeout/Mail/All.mbox": mbox(700, 3), "Takeout/Mail/Spam.mbox": mbox(1000, 2)}), 3,
		done(uploads.Progress{Imported: 3, LeftOut: 2}))
	f("half.mbox", mbox(703, 1)+"From x Mon Nov  2 12:00:00 2026\nX-Broken: yes\n\nno mail\n\n", 1,
		done(uploads.Progress{Imported: 1, Broken: 1, Reasons: []string{"half.mbox: message 2 at byte 144: its header is not that of a mail"}}))
	f("picture.png", "\x89PNG\r\n\x1a\n"+strings.Repeat("\x00\xff", 1000), 0,
		failed("there is no mail in picture.png: "+expected, uploads.Progress{}))
	f("text.txt", "just some words\n", 0, failed("there is no mail in text.txt: "+expected, uploads.Progress{}))
	f("pictures.zip", zipped(t, map[string]string{"a.png": "x"}), 0,
		failed("no mail file in pictures.zip: expected a Maildir, mbox files or files ending in .mbox, .mbx, .eml, .emlx, .mbox.gz, .mbx.gz, .eml.gz", uploads.Progress{}))
	f("pst", "!BDN....", 0, failed("pst is an Outlook data file: unpack it, and import the directory", uploads.Progress{}))
	if w.mails("bob") != 0 {
		t.Error("bob has mail")
	}
}

// The file that arrived is compared with the one that was announced.
func TestOtherFileThanAnnounced(t *testing.T) {
	w := newDeployment(t)
	w.person("alice")
	w.run()
	f := func(announced string, state string) {
		t.Helper()
		content, sum := mbox(0, 2), sha256.Sum256([]byte(announced))
		u := &uploads.Upload{UserID: "alice", Name: "a.mbox", Size: int64(len(content)), SHA256: sum[:]}
		w.Must(pgx.BeginFunc(w.Context(), w.Pool, func(tx pgx.Tx) error { return w.store.Create(w.Context(), tx, u) }))
		c, err := w.store.Receive(strings.NewReader(content), nil)
		w.Must(err)
		_, err = w.store.Append(w.Context(), "alice", u.ID, 0, c)
		w.Must(err)
		if got := w.settled("alice", u.ID); got.State != state || state == uploads.Failed != strings.Contains(got.Error, "not the file that was announced") {
			t.Errorf("%s %s", got.State, got.Error)
		}
	}
	f(mbox(0, 3), uploads.Failed)
	if w.mails("alice") != 0 {
		t.Error("mail of another file was imported")
	}
	f(mbox(0, 2), uploads.Done)
}

// What a process did not finish is taken up again by the next, whatever it had noted.
func TestAnotherProcessGoesOn(t *testing.T) {
	w := newDeployment(t)
	w.person("alice")
	id := w.upload("alice", "a.mbox", mbox(0, 20_000))
	stop := w.run()
	w.Until("some mail is imported", func() bool {
		u, err := w.store.Find(w.Context(), "alice", id)
		w.Must(err)
		return u.Imported > 0
	})
	stop()
	u, err := w.store.Find(w.Context(), "alice", id)
	w.Must(err)
	if u.State != uploads.Importing {
		t.Fatalf("it is %s after %d mails", u.State, u.Imported)
	}
	w.run()
	if u := w.settled("alice", id); u.Imported != 20_000 || w.mails("alice") != 20_000 {
		t.Errorf("%d imported, %d in the mailbox", u.Imported, w.mails("alice"))
	}
}

// A person's files are imported one after the other; nobody's keep another's waiting.
func TestDeletedAndErasedWhileImporting(t *testing.T) {
	w := newDeployment(t)
	w.person("alice")
	w.person("bob")
	first, second := w.upload("alice", "a.mbox", mbox(0, 60_000)), w.upload("alice", "b.mbox", mbox(300_000, 5))
	bobs := w.upload("bob", "b.mbox", mbox(0, 60_000))
	w.run()
	begun := func(user string, id events.UUID) {
		w.Until("an import begins", func() bool {
			u, err := w.store.Find(w.Context(), user, id)
			w.Must(err)
			return u.Imported > 0
		})
	}
	begun("alice", first)
	if u, err := w.store.Find(w.Context(), "alice", second); err != nil || u.State != uploads.Waiting {
		t.Errorf("%v, %v", u, err)
	}
	w.Must(w.store.Delete(w.Context(), "alice", first))
	if u := w.settled("alice", second); u.Imported != 5 {
		t.Errorf("%+v", u)
	}
	if came := w.mails("alice"); came >= 60_005 {
		t.Errorf("%d mails came of a file that was deleted", came)
	}

	begun("bob", bobs)
	_, err := person.Erase(w.Context(), w.Pool, "bob")
	w.Must(err)
	ends, err := w.Ends(events.TopicMail)
	w.Must(err)
	w.Background("the relay", func(ctx context.Context) error {
		return relay.Run(ctx, relay.Config{Pool: w.Pool, Conn: w.Conn, Log: w.Logger, Signal: w.Signal})
	})
	w.AwaitPublished()
	w.AwaitFolded("mailbox", events.TopicMail)
	if left := w.mails("bob"); left != 0 {
		t.Errorf("%d mails of an erased person", left)
	}
	after, err := w.Ends(events.TopicMail)
	w.Must(err)
	if more := after[int32(w.PartitionOf("bob"))] - ends[int32(w.PartitionOf("bob"))]; more != 1 {
		t.Errorf("%d records came after the erasure, want its order alone", more)
	}
	w.Must(w.store.Sweep(w.Context()))
	if _, err := os.Stat(w.store.Folder(bobs)); !os.IsNotExist(err) {
		t.Errorf("the file of an erased person: %v", err)
	}
}
