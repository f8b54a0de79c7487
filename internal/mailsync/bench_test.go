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

// noGate lets everything through: the database was not restored.
func noGate(*pgx.Batch, string) {}
