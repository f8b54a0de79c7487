package mailsync_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/mailsync"
	"github.com/applylens/applylens/internal/person"
	"github.com/applylens/applylens/internal/secrets"
	"github.com/applylens/applylens/internal/testkit/world"
)

// start starts "applylens sync" with failpoints.
func (w *deployment) start(failpoints string) *exec.Cmd {
	w.Helper()
	path, err := program.Path()
	w.Must(err)
	command := exec.Command(path, "sync", "--secrets-key-file", w.keyFile, "--accounts-ca-file", w.roots, "--private-hosts", "--metrics-listen=")
	command.Env = append(config.Environ(os.Environ(), &w.Settings, &config.Postgres{DatabaseURL: config.Secret(w.URL)}), "APPLYLENS_FAILPOINT="+failpoints)
	command.Stdout, command.Stderr = w.Logs, w.Logs
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	w.Must(command.Start())
	w.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	return command
}

// free lets the lease of a killed process run out at once, instead of after half a minute.
func (w *deployment) free() { w.Exec(`UPDATE account_leases SET until = now() - interval '1 s'`) }

// A process is killed between Kafka and the database, after the database, and wherever it happens to be, while mail comes in and another client
// works in the mailbox. In the end the index equals the mailbox, each mail was published with one identity, and what was
// told of each is where it is.
func TestKilledWhereItHurts(t *testing.T) {
	t.Parallel()
	w := newDeployment(t, "ann")
	w.Kfake()
	const mails = 600
	fill(w, "ann", mails)
	w.add("ann")
	for n, point := range []string{"sync/published=exit", "sync/recorded=exit", "sync/published=exit", "sync/recorded=exit"} {
		command := w.start(point)
		err := command.Wait()
		if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the process ended with %v", point, err)
		}
		w.free()
		w.dovecot.Deliver("ann", message(fmt.Sprint("between", n, "@x"), "between"))
		w.raw("ann", "SELECT INBOX", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "MOVE 5:6 Archive", "STORE 7 +FLAGS ($Later)")
	}
	for n := range 3 {
		command := w.start("")
		before := w.Int(`SELECT count(*) FROM account_mails`)
		w.Eventually("it has read something", func() error {
			return world.Want(w.Int(`SELECT count(*) FROM account_mails`) != before || n > 0, "nothing yet")
		})
		w.Must(command.Process.Kill())
		_ = command.Wait()
		w.free()
	}
	w.run("last")
	w.agreed("ann")
	counts := w.received()
	there := w.mailbox("ann")
	if len(counts) < len(there) {
		t.Errorf("%d mails were published, and %d are there", len(counts), len(there))
	}
	want := map[string][]string{}
	for _, line := range there {
		fields := strings.Fields(line)
		want[fields[3]] = append(want[fields[3]], fields[0])
	}
	w.Eventually("what was told is where the mails are", func() error {
		got := map[string][]string{}
		for id, place := range w.places("ann") {
			if folders, _, _ := strings.Cut(place, " "); folders != "" {
				got[id] = strings.Split(folders, ",")
			}
		}
		diff := cmp.Diff(want, got)
		return world.Want(diff == "", "%s", diff)
	})
}

func TestAWrongPassword(t *testing.T) {
	t.Parallel()
	w := newDeployment(t, "ann")
	w.Kfake()
	w.add("ann", func(_ *accounts.Account, given *accounts.Entrusted) { given.Password = secrets.New("sesame street") })
	w.run("one")
	w.Eventually("its owner is told", func() error {
		text := world.Scalar[string](w, `SELECT state || ': ' || error FROM accounts`)
		return world.Want(strings.HasPrefix(text, "failing: ") && strings.Contains(text, "password"), "%s", text)
	})
	w.Eventually("it is left alone", func() error {
		return world.Want(w.Int(`SELECT count(*) FROM account_leases WHERE holder = '' AND retry_at > now() + interval '10 minutes' AND failures = 1`) == 1, "not yet")
	})
	if strings.Contains(w.Logs.String(), "sesame") {
		t.Error("the password is in the log")
	}
}

// A server that hangs costs its time limits; one that is killed is found again.
func TestAServerThatFails(t *testing.T) {
	t.Parallel()
	w := newDeployment(t, "ann")
	w.Kfake()
	w.dovecot.Deliver("ann", message("one@x", "one"))
	w.add("ann")
	w.run("one", func(c *mailsync.Config) { c.Connector.Timeout = time.Second })
	w.agreed("ann")
	w.Must(w.dovecot.Pause())
	w.Eventually("its owner is told", func() error {
		text := world.Scalar[string](w, `SELECT error FROM accounts`)
		return world.Want(strings.Contains(text, "in time"), "%q", text)
	})
	w.Must(w.dovecot.Continue())
	w.dovecot.Deliver("ann", message("two@x", "two"))
	w.agreed("ann")
	w.Must(w.dovecot.Kill())
	w.Eventually("its owner is told", func() error {
		text := world.Scalar[string](w, `SELECT error FROM accounts`)
		return world.Want(strings.Contains(text, "refuses connections"), "%q", text)
	})
	w.dovecot.Restart()
	w.dovecot.Deliver("ann", message("three@x", "three"))
	w.agreed("ann")
	w.Eventually("all is well again", func() error {
		text := world.Scalar[string](w, `SELECT state || error FROM accounts`)
		return world.Want(text == "live", "%s", text)
	})
	if diff := cmp.Diff(map[string]int{"one@x": 1, "two@x": 1, "three@x": 1}, w.received()); diff != "" {
		t.Error(diff)
	}
}

// The server gives all mails other numbers: nothing is published or told anew.
func TestAnotherUIDValidity(t *testing.T) {
	t.Parallel()
	w := newDeployment(t, "ann")
	w.Kfake()
	for i := range 3 {
		w.dovecot.Deliver("ann", message(fmt.Sprint(i, "@x"), "x"))
	}
	w.add("ann")
	stop := w.run("one")
	w.agreed("ann")
	stop()
	told := len(w.Outbox("type = 'applylens.mail.changed.v1'"))
	before := w.Int(`SELECT max(uidvalidity) FROM account_folders WHERE name = 'INBOX'`)
	w.Must(w.dovecot.Kill())
	box := w.dovecot.Home("ann") + "/box/"
	for _, name := range []string{"dovecot-uidlist", "dovecot-uidvalidity", "dovecot.index", "dovecot.index.log", "dovecot.index.cache", "dovecot.list.index", "dovecot.list.index.log"} {
		_ = os.Remove(box + name)
	}
	entries, err := os.ReadDir(box)
	w.Must(err)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "dovecot-uidvalidity") {
			w.Must(os.Remove(box + entry.Name()))
		}
	}
	w.Until("the clock gives another number", func() bool { return time.Now().Unix() > int64(before) }) // Dovecot's numbers are seconds
	w.dovecot.Restart()
	w.run("two")
	w.Eventually("the folder has another number", func() error {
		return world.Want(w.Int(`SELECT max(uidvalidity) FROM account_folders WHERE name = 'INBOX'`) != before, "it is %d", before)
	})
	w.agreed("ann")
	if now := len(w.Outbox("type = 'applylens.mail.changed.v1'")); now != told {
		t.Errorf("%d changes were told", now-told)
	}
	for id, count := range w.received() {
		if count != 1 {
			t.Errorf("%s was published %d times", id, count)
		}
	}
}

// Erasing a person waits until nobody watches their accounts any more, so nothing comes in behind it.
func TestErasingEndsTheAccount(t *testing.T) {
	t.Parallel()
	w := newDeployment(t, "ann", "bob")
	w.Kfake()
	for _, user := range []string{"ann", "bob"} {
		w.add(user)
		w.dovecot.Deliver(user, message(user+"@x", "x"))
	}
	w.run("one")
	w.agreed("ann")
	w.agreed("bob")
	_, err := person.Erase(t.Context(), w.Pool, "ann")
	w.Must(err)
	w.dovecot.Deliver("ann", message("late@x", "late"))
	w.dovecot.Deliver("bob", message("bob2@x", "x"))
	w.agreed("bob")
	for _, table := range accounts.Erased() {
		if n := w.Int(`SELECT count(*) FROM ` + table + ` WHERE user_id = 'ann'`); n != 0 {
			t.Errorf("%d rows of %s are left", n, table)
		}
	}
	if diff := cmp.Diff(map[string]int{"ann@x": 1, "bob@x": 1, "bob2@x": 1}, w.received()); diff != "" {
		t.Error(diff)
	}
}

// A write of a holder that has lost its lease is refused.
func TestAWriteWithoutTheLeaseIsRefused(t *testing.T) {
	t.Parallel()
	w := newDeployment(t, "ann")
	w.add("ann")
	take := func(holder string) accounts.Lease {
		t.Helper()
		leases, err := accounts.Acquire(t.Context(), w.Pool, holder, time.Minute, 10)
		w.Must(err)
		if len(leases) != 1 {
			t.Fatalf("%s took %d accounts", holder, len(leases))
		}
		return leases[0]
	}
	first := take("one")
	if leases, err := accounts.Acquire(t.Context(), w.Pool, "two", time.Minute, 10); err != nil || len(leases) != 0 {
		t.Fatalf("taken twice: %v, %v", leases, err)
	}
	w.free()
	second := take("two")
	index := &accounts.Index{Pool: w.Pool, Source: w.Source, Gate: noGate}
	inbox := []accounts.Folder{{Name: "INBOX", Watched: true}}
	if err := index.AddFolders(t.Context(), first, inbox); err != accounts.ErrLost {
		t.Errorf("the first holder: %v", err)
	}
	w.Must(index.AddFolders(t.Context(), second, inbox))
	folders, err := accounts.Folders(t.Context(), w.Pool, second.AccountID)
	w.Must(err)
	change := accounts.Change{Folder: folders[0].ID, UIDValidity: 1, Seen: []accounts.Entry{{UID: 1, Identity: accounts.Identity{MessageID: "m", ContentHash: hashed("m")}}}}
	if _, err := index.Apply(t.Context(), first, change); err != accounts.ErrLost {
		t.Errorf("the first holder: %v", err)
	}
	for range 2 { // the same once more tells nothing
		_, err = index.Apply(t.Context(), second, change)
		w.Must(err)
	}
	held, err := accounts.Renew(t.Context(), w.Pool, "one", time.Minute, []accounts.Lease{first})
	w.Must(err)
	if held[first.AccountID] {
		t.Error("the first holder renewed its lease")
	}
	list := w.Outbox("true")
	if len(list) != 1 || list[0].Event.Type != events.TypeMailChanged || list[0].Event.MailChange.AccountSeq < 1 {
		t.Errorf("told %+v", list)
	}
}
