package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/testkit/load"
	"github.com/applylens/applylens/internal/testkit/oracle"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

// proposerWindows are the moments at which a process that proposes may die.
var proposerWindows = []struct {
	name string
	most int
}{
	{"proposer_after_choose", 4}, {"proposer_after_consider", 4}, {"proposer_after_propose", 4}, {"proposer_after_commit", 4},
}

const (
	mailOwner = "owner"
	ownPolicy = `INSERT INTO policies (user_id, name, condition, action) VALUES ($1, 'offers', $2, 'archive_email')`
	offers    = `{"contains":["subject","offer"]}`

	selectProposed = `
SELECT m.message_id, count(a.id) FROM live_mails m LEFT JOIN actions a ON a.email_id = m.id::text AND a.user_id = m.user_id
WHERE m.user_id = $1 GROUP BY m.message_id`
	selectFired = `SELECT COALESCE(sum(fired), 0)::int FROM live_policy_days WHERE user_id = $1`
)

// TestProposerCrashesAtEveryWindow kills a process that proposes at each moment between two steps, while mail comes all the time,
// and lets two others go on: each mail that should have a proposal must have one, and each proposal one event, which counts once.
func TestProposerCrashesAtEveryWindow(t *testing.T) {
	t.Parallel()
	seed, servers := seed(t), startServers(t)
	type run struct {
		*deployment
		*process
		rule    string
		receive func() map[string]int
	}
	var runs []run
	for i, window := range proposerWindows {
		w := servers.deploy(t, "window "+window.name, seed+uint64(i), load.Profile{Users: 50})
		w.ownMail()
		rule := fmt.Sprintf("%s=exit@%d", window.name, 1+w.random.IntN(window.most))
		w.Must(w.decide(t.Context(), 50)) // others decide meanwhile
		w.run([]string{"consume", "weights", "policystats", "mailbox", "--session-timeout", sessionTimeout.String(), "--metrics-listen", ""})
		w.relay()
		runs = append(runs, run{w, w.serve("APPLYLENS_FAILPOINT=" + rule), rule, w.receive()})
	}
	for _, r := range runs {
		r.awaitKilled(r.rule)
		r.serve()
		r.serve()
	}
	for _, r := range runs {
		expected := r.receive()
		r.AwaitFolded(oracle.Mailbox, events.TopicMail)
		r.Eventually("no mail waits", func() error {
			n := r.Int("SELECT count(*) FROM new_mails WHERE considered_at IS NULL")
			return world.Want(n == 0, "%d mails wait", n)
		})
		if diff := cmp.Diff(expected, world.Map[string, int](r, selectProposed, mailOwner)); diff != "" {
			t.Errorf("%s: proposals by mail (-want +got):\n%s", r.rule, diff)
		}
		r.AwaitPublished()
		r.settle()
		want := 0
		for _, count := range expected {
			want += count
		}
		if fired := r.Int(selectFired, mailOwner); fired != want {
			t.Errorf("%s: %d proposals were counted, want %d", r.rule, fired, want)
		}
	}
}

// ownMail adds a person who has one policy.
func (w *deployment) ownMail() {
	w.Helper()
	_, err := auth.NewStore(w.Pool).CreateUser(w.Context(), auth.User{ID: mailOwner})
	w.Must(err)
	w.Exec("DELETE FROM policies WHERE user_id = $1", mailOwner)
	w.Exec(ownPolicy, mailOwner, json.RawMessage(offers))
}

// serve starts a process that serves the API and proposes.
func (w *deployment) serve(variables ...string) *process {
	w.Helper()
	return w.run([]string{"api", "--listen", testenv.FreeAddress(w)}, variables...)
}

// receive sends the owner mail, until the function that it returns is called, which tells how many proposals each mail should
// have: one if its subject says so and it is not old. Some mail is sent twice. It ends before there are 200 proposals.
func (w *deployment) receive() (finish func() map[string]int) {
	w.Helper()
	const most, together = 900, 10
	var mails []mailOfOwner
	for n := range most {
		m := mailOfOwner{subject: fmt.Sprint("lunch ", n)}
		age := time.Hour
		switch n % 10 {
		case 1, 2:
			m.subject, m.proposals = fmt.Sprint("offer ", n), 1
		case 3:
			m.subject, age = fmt.Sprint("old offer ", n), 40*24*time.Hour
		}
		for range 1 + n%3/2 {
			m.records = append(m.records, w.mailRecord(m.subject, age))
		}
		mails = append(mails, m)
	}
	ctx, cancel := context.WithTimeout(w.Context(), 2*patience)
	enough, ended, expected := make(chan struct{}), make(chan error, 1), map[string]int{}
	go func() {
		for some := range slices.Chunk(mails, together) {
			select {
			case <-enough:
				ended <- nil
				return
			case <-time.After(50 * time.Millisecond):
			}
			for _, m := range some {
				if err := w.Producer.ProduceSync(ctx, m.records...).FirstErr(); err != nil {
					ended <- err
					return
				}
				expected[m.subject] = m.proposals
			}
		}
		ended <- nil
	}()
	return func() map[string]int {
		w.Helper()
		defer cancel()
		close(enough)
		w.Must(<-ended)
		return expected
	}
}

// mailOfOwner is a mail, how often it is sent, and how many proposals it should have.
type mailOfOwner struct {
	subject   string
	records   []*kgo.Record
	proposals int
}

// mailRecord is a mail of the owner's, whose Message-ID is its subject.
func (w *deployment) mailRecord(subject string, age time.Duration) *kgo.Record {
	now := time.Now().UTC()
	return w.Foreign(&events.Event{
		Envelope: events.Envelope{Type: events.TypeMailReceived, ID: events.NewUUIDv7(now).String()},
		Mail: &events.Mail{UserID: mailOwner, MessageID: subject, Subject: subject, Sender: events.Address{Address: "shop@example.com"},
			ReceivedAt: now.Add(-age), RecordedAt: now},
	})
}
