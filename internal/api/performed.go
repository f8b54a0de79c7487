package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/policy"
)

const performedDescription = `Counts a miss for every enabled policy that matches the mail, proposes this action, and proposed nothing for the mail: ` +
	`that is what recall is made of. A mail and an action count once, however often and however late they are told again: ` +
	`the answer is that of the first time. A proposal that waits stays in the tray.`

const performedColumns = ` id, email_id, action, policies, performed_at`

const selectPerformed = `SELECT` + performedColumns + ` FROM performed_actions WHERE user_id = $1 AND email_id = $2 AND action = $3`

// insertPerformed notes a deed with those of the policies that never proposed anything for the mail, in their order.
// Each state of a proposal has an index of its own.
const insertPerformed = `
INSERT INTO performed_actions (id, user_id, email_id, action, policies, performed_at)
SELECT $1, $2, $3, $4, ARRAY(
    SELECT m.policy_id
    FROM unnest($5::bigint[]) WITH ORDINALITY AS m (policy_id, place)
    WHERE NOT EXISTS (SELECT FROM actions a WHERE a.user_id = $2 AND a.email_id = $3 AND a.policy_id = m.policy_id
                      AND a.status = 'pending')
      AND NOT EXISTS (SELECT FROM actions a WHERE a.user_id = $2 AND a.email_id = $3 AND a.policy_id = m.policy_id
                      AND a.status IN ('approved', 'rejected'))
      AND NOT EXISTS (SELECT FROM actions a WHERE a.user_id = $2 AND a.email_id = $3 AND a.policy_id = m.policy_id
                      AND a.status = 'expired')
    ORDER BY m.place), clock_timestamp()
RETURNING` + performedColumns

type performedInput struct {
	Idempotent
	Body struct {
		EmailID string `json:"email_id" doc:"The mail's id"`
		Action  string `json:"action" enum:"label_email,archive_email,move_to_folder,unsubscribe_via_header,create_calendar_event,create_task,block_sender,quarantine_attachment"`
	}
}

// performedAction is what a person did by hand.
type performedAction struct {
	ID          events.UUID
	EmailID     string
	Action      string
	Policies    []int64
	PerformedAt time.Time
}

type performedView struct {
	ID          string    `json:"id" format:"uuid"`
	EmailID     string    `json:"email_id"`
	Action      string    `json:"action"`
	Policies    []int64   `json:"policies" nullable:"false" doc:"The policies that missed the mail"`
	PerformedAt time.Time `json:"performed_at"`
}

func (p *performedAction) view() performedView {
	return performedView{p.ID.String(), p.EmailID, p.Action, notNil(p.Policies), p.PerformedAt.UTC()}
}

// event tells of the deed. Its id is the row's: only who made the row may emit it, since the consumers know repeats of
// our own events by the relay's numbers and not by ids.
func (p *performedAction) event(user, source string, mail *policy.Mail) *events.Event {
	ref := mail.Ref()
	ref.Subject = ""
	at := p.PerformedAt.UTC()
	return &events.Event{
		Envelope: events.Envelope{ID: p.ID.String(), Source: source, Type: events.TypeActionPerformed, Subject: p.ID.String(), Time: at},
		Action: &events.Action{
			ActionID: p.ID, UserID: user, Action: p.Action, ProposedAt: at, RecordedAt: at,
			Features: mail.Features(), HasFeatures: true, FeatureRule: events.FeatureRule, Mail: ref, Policies: p.Policies,
		},
	}
}

func (s *server) performed(ctx context.Context, in *performedInput) (*answered[performedView], error) {
	email, err := events.ParseUUID(in.Body.EmailID)
	if err != nil {
		return nil, noPerformedMail()
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	mail, err := s.oneMail(ctx, email) // before the lock is taken, as all that only reads
	if err != nil {
		return nil, err
	}
	matching, err := s.matching(ctx, mail, in.Body.Action)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, in.Key, http.StatusOK, func(ctx context.Context, tx *transaction) (performedView, error) {
		earlier, err := onePerformed(ctx, tx, selectPerformed, tx.user, email.String(), in.Body.Action)
		switch {
		case err == nil:
			tx.last = earlier.ID.String()
			return earlier.view(), nil
		case !errors.Is(err, pgx.ErrNoRows):
			return performedView{}, fmt.Errorf("look for the performed action: %w", err)
		case mail == nil:
			return performedView{}, noPerformedMail()
		}
		return perform(ctx, tx, mail, in.Body.Action, matching)
	})
}

// perform notes a deed that was not told before, and emits its event.
func perform(ctx context.Context, tx *transaction, mail *policy.Mail, action string, matching []int64) (performedView, error) {
	id := events.NewUUIDv7(time.Now())
	done, err := onePerformed(ctx, tx, insertPerformed, [16]byte(id), tx.user, mail.ID, action, matching)
	if err != nil {
		return performedView{}, fmt.Errorf("note the performed action: %w", err)
	}
	return done.view(), tx.emit(ctx, done.event(tx.user, tx.source, mail))
}

func noPerformedMail() error {
	return huma.Error404NotFound("there is no such mail", &huma.ErrorDetail{Location: "body.email_id", Message: "you have no mail with this id"})
}

func onePerformed(ctx context.Context, tx *transaction, sql string, args ...any) (performedAction, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return performedAction{}, err
	}
	return pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (performedAction, error) {
		var p performedAction
		var id [16]byte
		err := row.Scan(&id, &p.EmailID, &p.Action, &p.Policies, &p.PerformedAt)
		p.ID = id
		return p, err
	})
}

// oneMail returns a mail of the person, nil when there is none.
func (s *server) oneMail(ctx context.Context, id events.UUID) (*policy.Mail, error) {
	user := auth.From(ctx).ID
	rows, err := s.pool.Query(ctx, selectMails, user, uuids([]events.UUID{id}))
	if err != nil {
		return nil, fmt.Errorf("read mail: %w", err)
	}
	mails, err := pgx.CollectRows(rows, scanMail)
	if err != nil {
		return nil, fmt.Errorf("read mail: %w", err)
	}
	if len(mails) == 0 {
		return nil, nil
	}
	return &mails[0], s.attachATS(ctx, user, mails)
}

// matching returns the person's enabled policies that match a mail and propose action, none when there is no mail.
func (s *server) matching(ctx context.Context, mail *policy.Mail, action string) ([]int64, error) {
	ids := []int64{}
	if mail == nil {
		return ids, nil
	}
	policies, err := s.policies(ctx)
	if err != nil {
		return nil, err
	}
	set, err := policy.NewSet(policies)
	if err != nil {
		return nil, err
	}
	for _, p := range set.Matching(*mail, time.Now(), action) {
		ids = append(ids, p.ID)
	}
	return ids, nil
}
