package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/policy"
)

const performedDescription = `Counts a miss for every enabled policy that matches the mail, proposes this action, and proposed nothing for the mail: ` +
	`recall is computed from these misses. Each mail and action counts once: later requests get the answer of the first. ` +
	`A pending proposal stays in the tray.`

type performedInput struct {
	Idempotent
	Body struct {
		EmailID string `json:"email_id" doc:"The mail's id"`
		Action  string `json:"action" enum:"label_email,archive_email,move_to_folder,unsubscribe_via_header,create_calendar_event,create_task,block_sender,quarantine_attachment"`
	}
}

type performedView struct {
	ID          string    `json:"id" format:"uuid"`
	EmailID     string    `json:"email_id"`
	Action      string    `json:"action"`
	Policies    []int64   `json:"policies" nullable:"false" doc:"The policies that missed the mail"`
	PerformedAt time.Time `json:"performed_at"`
}

func viewOfPerformed(p *actions.Performed) performedView {
	return performedView{p.ID.String(), p.EmailID, p.Action, notNil(p.Policies), p.PerformedAt.UTC()}
}

func (s *server) performed(ctx context.Context, in *performedInput) (*answered[performedView], error) {
	email, err := events.ParseUUID(in.Body.EmailID)
	if err != nil {
		return nil, noPerformedMail()
	}
	mail, err := s.oneMail(ctx, email) // before the lock is taken, like every other read
	if err != nil {
		return nil, err
	}
	matching, err := s.matching(ctx, mail, in.Body.Action)
	if err != nil {
		return nil, err
	}
	p := actions.Performed{EmailID: email.String(), Action: in.Body.Action}
	var recorded bool
	return change(ctx, s, in.Key, http.StatusOK, work[performedView]{
		first: func(b *pgx.Batch, user string) { actions.LookPerformed(b, user, matching, &p, &recorded) },
		then: func(_ context.Context, tx *transaction) (performedView, error) {
			switch {
			case recorded:
				tx.last = p.ID.String()
				return viewOfPerformed(&p), nil
			case mail == nil:
				return performedView{}, noPerformedMail()
			}
			return perform(tx, &p, mail)
		},
	})
}

// perform records a manual action and emits its event.
func perform(tx *transaction, p *actions.Performed, mail *policy.Mail) (performedView, error) {
	p.ID = events.NewUUIDv7(time.Now())
	p.Record(tx.Batch(), tx.user)
	return viewOfPerformed(p), tx.emit(p.Event(tx.user, tx.source, mail))
}

func noPerformedMail() error {
	return huma.Error404NotFound("there is no such mail", &huma.ErrorDetail{Location: "body.email_id", Message: "you have no mail with this id"})
}

// oneMail returns a mail of the person, nil when there is none.
func (s *server) oneMail(ctx context.Context, id events.UUID) (*policy.Mail, error) {
	mails, err := s.chooser.Find(ctx, auth.From(ctx).ID, []events.UUID{id})
	if err != nil || len(mails) == 0 {
		return nil, err
	}
	return &mails[0], nil
}

// matching returns the person's enabled policies that match a mail and propose action. It returns none without a mail.
func (s *server) matching(ctx context.Context, mail *policy.Mail, action string) ([]int64, error) {
	ids := []int64{}
	if mail == nil {
		return ids, nil
	}
	policies, err := s.policies(ctx)
	if err != nil {
		return nil, err
	}
	err = s.chooser.Ask(ctx, policies, s.compute, func(set *policy.Set, pause func() error) error {
		for _, p := range set.Matching(*mail, time.Now(), action) {
			ids = append(ids, p.ID)
		}
		return pause()
	})
	return ids, s.timeProblem(err)
}
