package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/proposals"
	"github.com/applylens/applylens/internal/proposer"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/internal/turns"
)

// TestMailThatIsAskedAboutIsNotNew: the proposer need not put it before the policies a second time.
func TestMailThatIsAskedAboutIsNotNew(t *testing.T) {
	w := newDeployment(t)
	p, other := w.person("alice"), w.person("bob")
	p.policy("promos", `{"eq":["category","promo"]}`)
	asked := []string{p.mail(mail{subject: "Sale", category: "promo"}), p.mail(mail{subject: "Lunch"})}
	left := []string{p.mail(mail{subject: "Sale", category: "promo"}), other.mail(mail{subject: "Sale", category: "promo"})}
	p.Exec(`SELECT add_new_mails(array_agg(user_id), array_agg(id), array_agg(received_at)) FROM mails`)
	waiting := func() []string {
		return world.Column[string](p, `SELECT mail_id::text FROM new_mails WHERE considered_at IS NULL ORDER BY received_at`)
	}
	p.post("/actions/propose", map[string]any{"email_ids": asked}).want(http.StatusOK)
	same(t, waiting(), left)
	p.post("/actions/propose", nil).want(http.StatusOK)
	same(t, waiting(), left[1:])
	same(t, world.Scalar[bool](p, `SELECT bool_or(proposed) FROM new_mails`), false) // none of the proposer's
}

// TestAskingWhileItIsProposed: whoever asks about mail that the proposer is just looking at gets no second proposal for it, and the
// log no second event.
func TestAskingWhileItIsProposed(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	p.policy("promos", `{"eq":["category","promo"]}`)
	chooser := &proposals.Chooser{Mails: proposals.Mails{Pool: w.Pool}, Processors: turns.New()}
	w.Background("a proposer", func(ctx context.Context) error {
		return proposer.Run(ctx, proposer.Config{Pool: w.Pool, Chooser: chooser, Log: w.Logger, Poll: time.Millisecond, TurnMails: 5})
	})
	w.Eventually("it leads", func() error {
		leads, err := proposer.HasLeader(t.Context(), w.Pool)
		if err == nil {
			err = world.Want(leads, "nobody does")
		}
		return err
	})
	var mails []string
	for range 15 {
		var some []string
		for n := range 10 {
			some = append(some, p.mail(mail{subject: fmt.Sprint("Sale ", n), category: "promo"}))
		}
		p.Exec(`SELECT add_new_mails(array_agg(user_id), array_agg(id), array_agg(received_at)) FROM mails WHERE id = ANY ($1::uuid[])`, some)
		for part := range slices.Chunk(some, 2) {
			p.post("/actions/propose", map[string]any{"email_ids": part}).want(http.StatusOK)
		}
		mails = append(mails, some...)
	}
	w.Eventually("no mail waits", func() error {
		return world.Want(w.Int(`SELECT count(*) FROM new_mails WHERE considered_at IS NULL`) == 0, "some does")
	})
	slices.Sort(mails)
	same(t, world.Column[string](p, `SELECT email_id FROM actions ORDER BY email_id COLLATE "C"`), mails)
	var told []string
	for _, row := range w.Outbox("type = 'applylens.action.proposed.v1'") {
		told = append(told, row.Event.Action.ActionID.String())
	}
	slices.Sort(told)
	same(t, told, world.Column[string](p, `SELECT id::text FROM actions ORDER BY id`))
	if own := w.Int(`SELECT count(*) FROM new_mails WHERE proposed`); own == 0 || own == len(mails) {
		t.Errorf("%d of %d proposals are the proposer's: the two did not meet", own, len(mails))
	}
}
