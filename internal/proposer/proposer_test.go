package proposer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/person"
	"github.com/applylens/applylens/internal/testkit/world"
)

const day = 24 * time.Hour

// New mail of the last 30 days is put before the policies, and nothing else: a policy that is made later does not reach back.
func TestNewMailIsProposed(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("nobody", 1, "offer", 0)
	w.fold("ann", 2, "offer", time.Minute)
	w.fold("ann", 1, "lunch", 0)
	w.fold("ann", 1, "late offer", 29*day)
	w.fold("ann", 1, "old offer", 30*day)
	w.run()
	w.awaitConsidered()
	want := []string{"offer 1", "offer 2", "late offer 1"}
	w.wantProposed("ann", want...)

	w.policy("ann", "lunches", `{"contains":["subject","lunch"]}`)
	w.fold("ann", 1, "next offer", 0)
	w.awaitConsidered()
	w.wantProposed("ann", append(want, "next offer 1")...)

	w.person("nobody") // who had mail before
	w.awaitConsidered()
	w.wantProposed("nobody", "offer 1")
}

// Mail that waited for so long that it is old by now is passed over, and so is mail that is gone.
func TestWhatWaitedForLongIsNotProposed(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("ann", 1, "old offer", 0)
	w.Exec(`UPDATE new_mails SET received_at = received_at - interval '30 days', folded_at = folded_at - interval '30 days'`)
	w.fold("ann", 1, "gone offer", 0)
	w.Exec(`DELETE FROM mails WHERE subject = 'gone offer 1'`)
	w.Exec(`UPDATE new_mails SET folded_at = folded_at - interval '1 hour' WHERE received_at > now() - interval '1 day'`)
	w.run()
	w.awaitConsidered()
	w.wantProposed("ann")
}

// What the live version does not have yet goes on waiting: another version told of it.
func TestMailThatIsNotThereYetWaits(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("ann", 1, "offer", 0)
	w.Exec(`CREATE TABLE elsewhere AS SELECT * FROM mails; DELETE FROM mails`)
	r := w.rounds()
	for range 3 {
		turn := w.turn(r, "ann")
		if did, err := turn.run(t.Context()); did || err != nil {
			t.Fatalf("something was considered: %v, %v", did, err)
		}
	}
	w.Exec(`INSERT INTO mails SELECT * FROM elsewhere`)
	if did, err := w.turn(r, "ann").run(t.Context()); !did || err != nil {
		t.Fatalf("nothing was considered: %v, %v", did, err)
	}
	w.wantProposed("ann", "offer 1")
}

// turn makes a turn of a person.
func (w *deployment) turn(r *rounds, user string) *turn {
	w.Helper()
	created := world.Scalar[time.Time](w, `SELECT created_at FROM users WHERE id = $1`, user)
	return &turn{proposer: r.proposer, standing: standing{size: r.TurnMails}, person: actions.Person{ID: user, CreatedAt: &created}}
}

// Of more than 200 mails to be proposed the newest are, until a day has passed. Late mail gets what other mail leaves.
func TestNoMoreThan200InADay(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.person("bob")
	w.fold("ann", 30, "offer", 0)
	w.fold("ann", 450, "late offer", 3*day)
	w.fold("ann", 100, "lunch", 0)
	w.fold("bob", 250, "late offer", 3*day)
	w.run()
	w.awaitConsidered()
	want := append(numbered("offer", 1, 30), numbered("late offer", 281, 450)...)
	w.wantProposed("ann", want...)
	w.wantProposed("bob", numbered("late offer", 51, 250)...)

	w.fold("ann", 450, "offer of a flood", 0)
	w.awaitConsidered()
	want = append(want, numbered("offer of a flood", 281, 450)...)
	w.wantProposed("ann", want...)

	w.fold("ann", 1, "one offer more", 0)
	w.fold("ann", 1, "one late offer more", 2*day)
	w.awaitConsidered()
	w.wantProposed("ann", want...)

	w.Exec(`UPDATE new_mails SET considered_at = considered_at - interval '1 day' WHERE NOT late`)
	w.fold("ann", 1, "offer of the next day", 0)
	w.fold("ann", 40, "late offer of the same day", 2*day)
	w.awaitConsidered()
	w.wantProposed("ann", append(append(want, "offer of the next day 1"), numbered("late offer of the same day", 12, 40)...)...)
}

// A turn waits for whoever changes something of the person's, and what was done meanwhile counts: which mail was considered, and
// how much was proposed.
func TestATurnWaitsForThePersonsLock(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("ann", 60, "offer", 0)
	turn := w.turn(w.rounds(), "ann")
	b, err := turn.waiting(t.Context())
	w.Must(err)
	chosen, err := turn.choose(t.Context(), b)
	w.Must(err)
	tx, err := w.Pool.Begin(t.Context())
	w.Must(err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), `SELECT FROM users WHERE id = 'ann' FOR UPDATE`)
	w.Must(err)
	ended := make(chan error, 1)
	go func() { ended <- turn.propose(t.Context(), b, chosen) }()
	w.Eventually("the turn waits", func() error {
		return world.Want(w.Int(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1, "it does not")
	})
	_, err = tx.Exec(t.Context(), `
		WITH considered AS (UPDATE new_mails SET considered_at = now() WHERE mail_id = (SELECT id FROM mails WHERE subject = 'offer 60'))
		INSERT INTO new_mails (user_id, mail_id, received_at, late, proposed, considered_at)
		SELECT 'ann', gen_random_uuid(), now(), false, true, now() FROM generate_series(1, 170)`)
	w.Must(err)
	w.Must(tx.Commit(t.Context()))
	w.Must(<-ended)
	w.wantProposed("ann", numbered("offer", 30, 59)...)
}

// Mail does not wait for policies: whoever has none that is enabled gets no proposals, and later none for mail of before.
func TestDisabledPoliciesProposeNothing(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.Exec(`UPDATE policies SET enabled = false WHERE user_id = 'ann'`)
	w.fold("ann", 3, "offer", 0)
	w.run()
	w.awaitConsidered()
	w.wantProposed("ann")
	w.Exec(`UPDATE policies SET enabled = true WHERE user_id = 'ann'`)
	w.fold("ann", 1, "next offer", 0)
	w.awaitConsidered()
	w.wantProposed("ann", "next offer 1")
}

// Late mail waits while more of it comes, so that the newest goes first in whatever order it comes; other mail does not wait for it.
func TestTheNewestOfAnImportGoesFirst(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("ann", 150, "first offer", 20*day)
	w.run(func(c *Config) { c.Quiet = time.Hour })
	w.fold("ann", 1, "offer of today", 0)
	w.Eventually("mail of today is proposed", func() error {
		got := w.proposed("ann")
		return world.Want(len(got) > 0, "none yet")
	})
	w.fold("ann", 150, "second offer", 10*day)
	w.wantProposed("ann", "offer of today 1")
	w.Exec(`UPDATE new_mails SET folded_at = folded_at - interval '1 hour'`) // quiet since then
	w.awaitConsidered()
	second, first := 0, 0
	for _, subject := range w.proposed("ann") {
		second += strings.Count(subject, "second")
		first += strings.Count(subject, "first")
	}
	if second != 150 || first != 49 {
		t.Errorf("%d newer and %d older mails are proposed, want 150 and 49", second, first)
	}
}

// A stream of late mail that does not end is considered after a while.
func TestLateMailDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("ann", 1, "late offer", 20*day)
	w.Exec(`UPDATE new_mails SET folded_at = folded_at - $1::interval`, longestQuiet)
	w.fold("ann", 1, "later offer", 10*day)
	if did, err := w.turn(w.rounds(func(c *Config) { c.Quiet = time.Hour }), "ann").run(t.Context()); !did || err != nil {
		t.Errorf("nothing is considered: %v, %v", did, err)
	}
}

// What somebody asked for is not put before the policies a second time, nor what was proposed before the database was restored.
func TestWhatHasAProposalGetsNoOther(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("ann", 3, "offer", 0)
	for i, status := range []string{actions.Pending, actions.Rejected, actions.Expired} {
		w.Exec(`INSERT INTO actions (id, user_id, policy_id, email_id, action, confidence, features, feature_rule, created_at, status)
			SELECT gen_random_uuid(), 'ann', -1, id::text, 'create_task', 0.7, '{}', 1, now(), $2 FROM mails WHERE subject = $1`, fmt.Sprint("offer ", i+1), status)
	}
	w.fold("ann", 1, "other offer", 0)
	w.run()
	w.awaitConsidered()
	if n := w.Int(`SELECT count(*) FROM actions WHERE policy_id > 0`); n != 1 {
		t.Errorf("%d proposals, want 1: for the mail that had none", n)
	}
}

// Any number of proposers at the same time, with the same mail before them, propose once.
func TestProposersAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	const persons, mails = 4, 90
	for n := range persons {
		user := fmt.Sprint("user", n)
		w.person(user)
		w.fold(user, mails, "offer", 0)
		w.fold(user, mails, "late offer", 2*day)
	}
	for range 3 {
		pool := w.pool()
		r := w.rounds(func(c *Config) {
			c.Pool, c.Chooser.Pool, c.TurnMails = pool, pool, 50
		})
		w.Background("a proposer", func(ctx context.Context) error {
			if err := r.run(ctx, func() error { return nil }); ctx.Err() == nil {
				return err
			}
			return nil
		})
	}
	w.awaitConsidered()
	want := append(numbered("offer", 1, mails), numbered("late offer", 1, mails)...)
	slices.Sort(want)
	for n := range persons {
		user := fmt.Sprint("user", n)
		got := w.proposed(user)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%d proposals for %s, want one for each of %d mails", len(got), user, len(want))
		}
		if events, actions := w.emitted(user); events != len(want) || actions != len(want) {
			t.Errorf("%d events of %d proposals for %s, want %d", events, actions, user, len(want))
		}
	}
}

// Another process takes over when the one that leads has gone.
func TestAnotherTakesOver(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	first := w.run()
	w.fold("ann", 1, "first offer", 0)
	w.awaitConsidered()
	w.run(func(c *Config) { c.Pool = w.pool() })
	if leads, err := HasLeader(t.Context(), w.Pool); !leads || err != nil {
		t.Errorf("somebody leads: %v, %v", leads, err)
	}
	first()
	w.fold("ann", 1, "second offer", 0)
	w.awaitConsidered()
	w.wantProposed("ann", "first offer 1", "second offer 1")
}

// The person's mail and what is known of it go with the person, also in the middle of a turn.
func TestErasedPersonsGetNoProposals(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("ann", 3, "offer", 0)
	turn := w.turn(w.rounds(), "ann")
	b, err := turn.waiting(t.Context())
	w.Must(err)
	chosen, err := turn.choose(t.Context(), b)
	w.Must(err)
	_, err = person.Erase(t.Context(), w.Pool, "ann")
	w.Must(err)
	w.person("ann") // somebody else under the id
	if err := turn.propose(t.Context(), b, chosen); !errors.Is(err, actions.ErrErased) || len(chosen) != 3 {
		t.Errorf("%d proposals: %v, want %v", len(chosen), err, actions.ErrErased)
	}
	if did, err := turn.run(t.Context()); did || err != nil {
		t.Errorf("a turn after the erasure: %v, %v", did, err)
	}
	if n := w.Int(`SELECT (SELECT count(*) FROM new_mails) + (SELECT count(*) FROM actions)`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// One person's 20,000 new mails do not keep another's from the next round.
func TestPersonsHaveTurns(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.person("bob")
	w.fold("ann", 20_000, "lunch", 0)
	w.run(func(c *Config) { c.Workers = 1 })
	considered := func(user string) int {
		return w.Int(`SELECT count(*) FROM new_mails WHERE user_id = $1 AND considered_at IS NOT NULL`, user)
	}
	w.Eventually("some of ann's mail is considered", func() error {
		return world.Want(considered("ann") > 0, "none yet")
	})
	before := considered("ann")
	w.fold("bob", 1, "offer", 0)
	w.Eventually("bob's mail is proposed", func() error {
		return world.Want(considered("bob") == 1, "not yet")
	})
	if after := considered("ann"); after == 20_000 || after-before > 5000 {
		t.Errorf("%d mails of ann went before bob's one", after-before)
	}
}

// Policies that this binary cannot read concern their person alone, who waits for longer and longer.
func TestUnreadablePoliciesHoldUpNobodyElse(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.person("bob")
	w.Exec(`UPDATE policies SET condition = '{"smells":["subject","x"]}' WHERE user_id = 'ann'`)
	w.fold("ann", 2, "offer", 0)
	r := w.rounds()
	w.Background("a proposer", func(ctx context.Context) error { _ = r.run(ctx, func() error { return nil }); return nil })
	w.Eventually("it fails", func() error {
		return world.Want(counted(t, r.observers.failures, "policy") > 1, "not yet")
	})
	w.fold("bob", 1, "offer", 0)
	w.Eventually("bob's mail is proposed", func() error {
		return world.Want(len(w.proposed("bob")) == 1, "not yet")
	})
	w.wantProposed("ann")
	if log := w.Logs.String(); !strings.Contains(log, "reason=policy") || strings.Contains(log, "ann") {
		t.Errorf("the log does not name the reason, or names the person:\n%s", log)
	}
	w.Exec(`UPDATE policies SET condition = '{"contains":["subject","offer"]}' WHERE user_id = 'ann'`)
	w.awaitConsidered()
	w.wantProposed("ann", "offer 1", "offer 2")
	if failed := counted(t, r.observers.failures, "policy"); failed > 20 {
		t.Errorf("%d turns failed: it does not wait in between", failed)
	}
}

// A mail to which policies cannot be applied is passed over alone.
func TestAMailThatCannotBeProposedIsPassedOver(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("ann", 9, "offer", 0)
	w.Exec(`UPDATE mails SET category = repeat('x', 5000) WHERE subject = 'offer 5'`) // no event may carry it
	r := w.rounds()
	w.Background("a proposer", func(ctx context.Context) error { _ = r.run(ctx, func() error { return nil }); return nil })
	w.awaitConsidered()
	got := w.proposed("ann")
	slices.Sort(got)
	want := slices.DeleteFunc(numbered("offer", 1, 9), func(subject string) bool { return subject == "offer 5" })
	if !slices.Equal(got, want) {
		t.Errorf("proposed are %v, want %v", got, want)
	}
	if passed := counted(t, r.observers.failures, "mail"); passed != 1 {
		t.Errorf("%d mails count as passed over, want 1", passed)
	}
}

// While a restored database is incomplete nothing is proposed: the log may have it.
func TestNothingIsProposedInARestoredDatabase(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	w.fold("ann", 1, "offer", 0)
	var complete atomic.Bool
	r := w.rounds(func(c *Config) {
		c.Gate = func(b *pgx.Batch, person string) {
			b.Queue("SELECT").Query(func(rows pgx.Rows) error {
				rows.Close()
				if person != "ann" || !complete.Load() {
					return outbox.ErrRestored
				}
				return nil
			})
		}
	})
	w.Background("a proposer", func(ctx context.Context) error { _ = r.run(ctx, func() error { return nil }); return nil })
	w.Eventually("it waits", func() error {
		return world.Want(counted(t, r.observers.failures, "restored") > 0, "not yet")
	})
	w.wantProposed("ann")
	complete.Store(true)
	w.awaitConsidered()
	w.wantProposed("ann", "offer 1")
}

// The gauges tell what waits, of persons that there are.
func TestWaitingMailIsCounted(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.person("ann")
	f := func(mails int64, seconds float64) {
		t.Helper()
		got, err := actions.CountWaiting(t.Context(), w.Pool)
		w.Must(err)
		if got.Mails != mails || got.Seconds < seconds || got.Seconds > seconds+60 {
			t.Errorf("%+v, want %d mails, the oldest for %v seconds", got, mails, seconds)
		}
	}
	f(0, 0)
	w.fold("nobody", 2, "offer", 0)
	f(0, 0)
	w.fold("ann", 2, "offer", 2*day)
	w.Exec(`UPDATE new_mails SET folded_at = now() - interval '1 hour'`)
	f(2, 0)
	w.fold("ann", 1, "offer", 0)
	w.Exec(`UPDATE new_mails SET folded_at = now() - interval '10 minutes' WHERE NOT late`)
	f(3, 600)
}
