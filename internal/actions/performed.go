package actions

import (
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/policy"
)

// selectPerformed finds what was recorded for a mail and an action.
const selectPerformed = `
SELECT id, policies, performed_at FROM performed_actions WHERE user_id = $1 AND email_id = $2 AND action = $3`

// selectMissed tells the time, and which of the policies never proposed anything for a mail, in their order. Each state
// of a proposal has an index of its own.
const selectMissed = `
SELECT ARRAY(
    SELECT m.policy_id
    FROM unnest($3::bigint[]) WITH ORDINALITY AS m (policy_id, place)
    WHERE NOT EXISTS (SELECT FROM actions a WHERE a.user_id = $1 AND a.email_id = $2 AND a.policy_id = m.policy_id
                      AND a.status = 'pending')
      AND NOT EXISTS (SELECT FROM actions a WHERE a.user_id = $1 AND a.email_id = $2 AND a.policy_id = m.policy_id
                      AND a.status IN ('approved', 'rejected'))
      AND NOT EXISTS (SELECT FROM actions a WHERE a.user_id = $1 AND a.email_id = $2 AND a.policy_id = m.policy_id
                      AND a.status = 'expired')
    ORDER BY m.place), clock_timestamp()`

// insertPerformed records a manual action. The primary key is person, mail and action.
const insertPerformed = `
INSERT INTO performed_actions (id, user_id, email_id, action, policies, performed_at)
VALUES ($1, $2, $3, $4, $5, $6)`

// restorePerformed does so unless it is recorded already.
const restorePerformed = insertPerformed + ` ON CONFLICT DO NOTHING`

// Performed is what a person did by hand.
type Performed struct {
	ID          events.UUID
	EmailID     string
	Action      string
	Policies    []int64 // those that missed the mail
	PerformedAt time.Time
}

// LookPerformed looks whether the manual action p, of which mail and action are set, has been recorded. If so it fills in
// the rest, and stores true in recorded. If not it leaves ID zero, stores which of the policies missed the mail, and the
// time.
func LookPerformed(b *pgx.Batch, user string, policies []int64, p *Performed, recorded *bool) {
	b.Queue(selectMissed, user, p.EmailID, policies).QueryRow(func(row pgx.Row) error {
		if err := row.Scan(&p.Policies, &p.PerformedAt); err != nil {
			return fmt.Errorf("look for proposals: %w", err)
		}
		return nil
	})
	b.Queue(selectPerformed, user, p.EmailID, p.Action).QueryRow(func(row pgx.Row) error {
		var id [16]byte
		err := row.Scan(&id, &p.Policies, &p.PerformedAt)
		p.ID, *recorded = id, err == nil
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("look for the manual action: %w", err)
		}
		return nil
	})
}

// Record records p. It fails when mail and action have been recorded already: the unique key prevents a second event.
func (p *Performed) Record(b *pgx.Batch, user string) { p.queue(b, insertPerformed, user) }

func (p *Performed) queue(b *pgx.Batch, sql, user string) {
	b.Queue(sql, [16]byte(p.ID), user, p.EmailID, p.Action, append([]int64{}, p.Policies...), p.PerformedAt)
}

// Event returns the event of p. Only the transaction that records p may emit it: consumers deduplicate our own events by
// the relay's numbers, not by their ids.
func (p *Performed) Event(user, source string, mail *policy.Mail) *events.Event {
	ref := mail.Ref()
	ref.Subject = ""
	at := p.PerformedAt.UTC()
	return &events.Event{
		Envelope: events.Envelope{ID: p.ID.String(), Source: source, Type: events.TypeActionPerformed, Subject: p.ID.String(), Time: at},
		Action: &events.Action{
			ActionID: p.ID, UserID: user, Action: p.Action, ProposedAt: at, RecordedAt: at,
			Features: mail.Features(), HasFeatures: true, FeatureRule: policy.FeatureRule, Mail: ref, Policies: p.Policies,
		},
	}
}
