package mailsync_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/testkit/world"
)

// fill puts mails into a user's inbox, as files of its Maildir, before anybody has opened it.
func fill(w *deployment, user string, mails int) {
	w.Helper()
	dir := filepath.Join(w.dovecot.Home(user), "box", "cur")
	for _, name := range []string{"cur", "new", "tmp"} {
		w.Must(os.MkdirAll(filepath.Join(filepath.Dir(dir), name), 0o777))
	}
	began := time.Now().Add(-time.Duration(mails) * time.Minute).Unix()
	text := strings.Repeat("All work and no play makes a dull mail.\r\n", 50)
	for i := range mails {
		path := filepath.Join(dir, fmt.Sprintf("%d.M%dP1.host:2,", began+int64(i)*60, i))
		w.Must(os.WriteFile(path, []byte(message(fmt.Sprintf("m%d@x", i), fmt.Sprint("mail ", i))+text), 0o666))
	}
	w.Must(w.dovecot.Own(user))
}

// BenchmarkInitialSync reads 10,000 mails of 2 kB from Dovecot into Kafka and the index.
func BenchmarkInitialSync(b *testing.B) {
	const mails = 10_000
	w := newDeployment(b, "ann")
	w.Kafka()
	w.Patience = 5 * time.Minute
	fill(w, "ann", mails)
	w.raw("ann", "SELECT INBOX") // Dovecot's own index is made
	for b.Loop() {
		w.Exec(`DELETE FROM accounts`)
		w.add("ann")
		stop := w.run("one")
		w.Eventually("all mail is in", func() error {
			n := w.Int(`SELECT count(*) FROM account_mails`)
			return world.Want(n == mails, "%d mails", n)
		})
		stop()
	}
	b.ReportMetric(float64(mails)*float64(b.N)/b.Elapsed().Seconds(), "mails/s")
}

// BenchmarkNewMail measures from the end of a delivery until mail.changed is committed, behind mail.received.
func BenchmarkNewMail(b *testing.B) {
	w := newDeployment(b, "ann")
	w.Kafka()
	w.Tick = time.Millisecond
	w.add("ann")
	w.run("one")
	w.agreed("ann")
	seen := 0
	for b.Loop() {
		seen++
		w.dovecot.Deliver("ann", message(fmt.Sprintf("n%d@x", seen), "new"))
		w.Eventually("it is told", func() error {
			n := w.Int(`SELECT count(*) FROM outbox WHERE type = 'applylens.mail.changed.v1'`)
			return world.Want(n >= seen, "%d changes", n)
		})
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/mail")
}

// BenchmarkManyAccounts lets two processes watch 2,000 accounts of one Dovecot, kills one, and waits until the other has them all.
func BenchmarkManyAccounts(b *testing.B) {
	const count = 2000
	users := make([]string, count)
	for i := range users {
		users[i] = fmt.Sprintf("u%04d", i)
	}
	w := newDeployment(b, users...)
	w.Kafka()
	w.Patience = 5 * time.Minute
	for _, user := range users {
		fill(w, user, 3)
		w.add(user)
	}
	live := func() {
		b.Helper()
		w.Eventually("all accounts are live", func() error {
			n := w.Int(`SELECT count(*) FROM accounts a JOIN account_leases l ON l.account_id = a.id WHERE a.state = 'live' AND l.until > now()`)
			return world.Want(n == count, "%d are", n)
		})
	}
	for b.Loop() {
		one, two := w.start(""), w.start("")
		began := time.Now()
		live()
		b.ReportMetric(time.Since(began).Seconds(), "s-until-live")
		b.ReportMetric(resident(w, one.Process.Pid)+resident(w, two.Process.Pid), "MB-of-two")
		w.Must(one.Process.Kill())
		began = time.Now()
		w.Eventually("the other has all accounts", func() error {
			n := w.Int(`SELECT count(*) FROM account_leases WHERE until > now() AND holder = (SELECT holder FROM account_leases GROUP BY holder ORDER BY max(until) DESC LIMIT 1)`)
			return world.Want(n == count, "it has %d", n)
		})
		b.ReportMetric(time.Since(began).Seconds(), "s-until-taken-over")
		b.ReportMetric(resident(w, two.Process.Pid), "MB-of-one")
		w.Must(two.Process.Kill())
	}
}

// resident is the memory of a process in MB.
func resident(w *deployment, pid int) float64 {
	w.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	w.Must(err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kilobytes float64
	_, err = fmt.Sscan(rest, &kilobytes)
	w.Must(err)
	return kilobytes / 1024
}

// noGate lets everything through: the database was not restored.
func noGate(*pgx.Batch, string) {}
