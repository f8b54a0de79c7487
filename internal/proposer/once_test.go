package proposer

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/consumers/rebuild"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
)

// mailbox configures the group that folds mail.
func (w *deployment) mailbox() consumers.Config { return grouptest.Config(w.World, mailbox.Group()) }

// received is the record of a mail of ann's that came some time ago. Its subject is its Message-ID, too.
func (w *deployment) received(subject, text string, age time.Duration) *kgo.Record {
	w.Helper()
	now := time.Now().UTC()
	return w.Foreign(&events.Event{
		Envelope: events.Envelope{Type: events.TypeMailReceived, ID: events.NewUUIDv7(now).String()},
		Mail: &events.Mail{UserID: "ann", MessageID: subject, Subject: subject, Text: text,
			Sender: events.Address{Address: "shop@example.com"}, ReceivedAt: now.Add(-age), RecordedAt: now},
	})
}

// settled waits until all mail is folded and none waits.
func (w *deployment) settled() {
	w.Helper()
	w.AwaitFolded("mailbox", events.TopicMail)
	w.awaitConsidered()
}

// A mail is put before the policies once, however it comes to be folded again: each step ends with a mail that is new, so that
// what came before it has had its turn.
func TestAMailIsProposedOnce(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.Kfake()
	w.person("ann")
	stopFolding := grouptest.Start(w.World, w.mailbox())
	w.run()
	var want []string
	step := func(name string, do func(), more ...string) {
		t.Helper()
		do()
		w.settled()
		w.Publish(w.received("offer "+name, "", 0))
		w.settled()
		want = append(append(want, more...), "offer "+name)
		w.wantProposed("ann", want...)
		if t.Failed() {
			t.FailNow()
		}
	}
	swap := func() {
		t.Helper()
		version, err := rebuild.Run(t.Context(), w.mailbox(), false)
		w.Must(err)
		_, err = rebuild.Swap(t.Context(), w.Pool, "mailbox", version, -1, "tester", "test")
		w.Must(err)
	}
	first := []*kgo.Record{w.received("lunch", "", time.Hour), w.received("first offer", "", time.Hour)}

	step("when it comes", func() { w.Publish(first...) }, "first offer")
	step("sent again", func() { w.Publish(copied(first)...) })
	step("changed", func() {
		w.Publish(w.received("first offer", "changed", time.Hour), w.received("lunch", "changed", time.Hour))
	})
	step("read again", func() {
		cfg := w.mailbox()
		w.Must(cfg.Validate())
		operator := &operate.Operator{Config: &cfg, Actor: "tester", Reason: "test"}
		_, err := operator.Rewind(t.Context(), w.PartitionOf("ann"), 0)
		w.Must(err)
	})
	step("rebuilt", swap)
	step("rolled back", func() {
		_, err := rebuild.Rollback(t.Context(), w.Pool, "mailbox", "tester", "test")
		w.Must(err)
	})
	stopFolding()
	step("folded elsewhere first", func() {
		w.Publish(w.received("unseen offer", "", time.Minute))
		swap()
		grouptest.Start(w.World, w.mailbox())
	}, "unseen offer")
}

// copied are the same records, to be sent once more.
func copied(records []*kgo.Record) []*kgo.Record {
	list := make([]*kgo.Record, len(records))
	for i, r := range records {
		list[i] = &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}
	}
	return list
}

// An erasure in the log takes what is known of new mail, also of mail that was folded after the person was erased.
func TestTheFoldOfAnErasureForgetsNewMail(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.Kfake()
	erasure := w.Foreign(&events.Event{
		Envelope: events.Envelope{Type: events.TypeUserErased, ID: "e"}, Erasure: &events.Erasure{UserID: "ann", RecordedAt: time.Now()},
	})
	erasure.Topic = w.Conn.Topic(events.TopicMail) // it has two
	w.Publish(w.received("offer", "", 0), erasure)
	grouptest.Start(w.World, w.mailbox())
	w.AwaitFolded("mailbox", events.TopicMail)
	if n := w.Int(`SELECT count(*) FROM new_mails`); n != 0 {
		t.Errorf("%d mails of an erased person are new", n)
	}
}

// A version that became live is looked through in portions, and no longer than it is live.
func TestVersionsAreLookedThrough(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("ann", 7, "offer", 0)
	w.fold("ann", 2, "old offer", 31*day)
	w.Exec(`DELETE FROM new_mails WHERE mail_id IN (SELECT id FROM mails WHERE message_id <> 'offer 4')`)
	w.Exec(`UPDATE new_mails SET considered_at = now()`)
	w.Exec(`INSERT INTO new_mail_versions (version) VALUES (1), (2)`)
	r := w.rounds()
	portions := 0
	for more := true; more; portions++ {
		var err error
		more, err = w.lookThrough(r, 4)
		w.Must(err)
	}
	if portions != 6 { // three of nine mails, the end of version 1, and that of the other
		t.Errorf("looked through in %d portions", portions)
	}
	if n := w.Int(`SELECT count(*) FROM new_mails WHERE considered_at IS NULL`); n != 6 {
		t.Errorf("%d mails are new, want 6", n)
	}
	if n := w.Int(`SELECT count(*) FROM new_mail_versions`); n != 0 {
		t.Errorf("%d versions are left", n)
	}
}

// BenchmarkTray measures from the commit of the fold until the proposal is in the tray, by the database's clock, for a person with
// 100,000 mails of the last 30 days, while another's 100,000 are being considered.
func BenchmarkTray(b *testing.B) {
	w := newDeployment(b)
	w.Kfake()
	w.person("ann")
	w.person("bob")
	w.fold("ann", 100_000, "lunch", day/2)
	w.Exec(`UPDATE new_mails SET considered_at = now() WHERE user_id = 'ann'`)
	w.fold("bob", 100_000, "lunch", 0)
	w.Exec(`ANALYZE`)
	grouptest.Start(w.World, w.mailbox())
	w.run(func(c *Config) { c.Poll = 0 }) // the default
	seen := 0
	for b.Loop() {
		seen++
		w.Publish(w.received(fmt.Sprint("offer ", seen), "", 0))
		w.Eventually("it is proposed", func() error {
			var count int
			err := w.Pool.QueryRow(b.Context(), `SELECT count(*) FROM actions WHERE user_id = 'ann'`).Scan(&count)
			if err == nil && count < seen {
				err = fmt.Errorf("%d of %d", count, seen)
			}
			return err
		})
		w.Exec(`UPDATE new_mails SET considered_at = considered_at - interval '1 day' WHERE user_id = 'ann' AND proposed`)
	}
	type delays struct{ Median, P99 float64 }
	var d delays
	w.Must(w.Pool.QueryRow(b.Context(), `
		SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY s), percentile_cont(0.99) WITHIN GROUP (ORDER BY s)
		FROM (SELECT extract(epoch FROM a.created_at - n.folded_at)::float8 * 1000 AS s
		      FROM actions a JOIN new_mails n ON n.user_id = a.user_id AND n.mail_id::text = a.email_id) t`).Scan(&d.Median, &d.P99))
	b.ReportMetric(d.Median, "ms-median")
	b.ReportMetric(d.P99, "ms-p99")
}
