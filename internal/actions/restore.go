package actions

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// restoreAction moves an action forward to what the log says, never back. If a second proposal of the same mail and
// policy is pending, made after the restore, that one stays and the restored one is expired.
const restoreAction = `
INSERT INTO actions AS a (id, user_id, policy_id, email_id, action, confidence, explored, features, feature_rule,
    mail_category, mail_sender_domain, mail_list_id, status, round, created_at, decided_at, forgets)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
    CASE WHEN $13 = 'pending' AND EXISTS (
        SELECT FROM actions o
        WHERE o.user_id = $2 AND o.email_id = $4 AND o.policy_id = $3 AND o.status = 'pending' AND o.id <> $1)
    THEN 'expired' ELSE $13 END, $14, $15, $16, (SELECT forgets FROM users WHERE id = $2)
ON CONFLICT (id) DO UPDATE
SET status = excluded.status, round = excluded.round, decided_at = excluded.decided_at, forgets = excluded.forgets
WHERE a.user_id = excluded.user_id
  AND (excluded.round, excluded.status IN ('approved', 'rejected')) > (a.round, a.status IN ('approved', 'rejected'))`

// Restore queues what the transaction that emitted an event had changed in this package's tables, for a database that was
// restored from an older backup. It tells whether that is anything. Events have to come in the order of the log; what the
// database knows already stays. A person whom the backup does not have is added, as old as the event; tokens are not in
// the log and have to be created anew. The event's memory may be used again.
func Restore(b *pgx.Batch, event *events.Event) bool {
	switch event.Type {
	case events.TypeActionProposed, events.TypeActionApproved, events.TypeActionRejected, events.TypeActionReverted:
		b.Queue(insertUser, event.Action.UserID, event.Action.RecordedAt)
		queueAction(b, event.Type, event.Action)
	case events.TypeActionPerformed:
		a := event.Action
		b.Queue(insertUser, a.UserID, a.RecordedAt)
		p := Performed{ID: a.ActionID, EmailID: a.Mail.ID, Action: a.Action, Policies: a.Policies, PerformedAt: a.ProposedAt}
		p.queue(b, restorePerformed, a.UserID)
	case events.TypePreferenceChanged:
		p := event.Preference
		b.Queue(insertUser, p.UserID, p.RecordedAt)
		if p.Op == events.PreferencePin {
			b.Queue(addPin, p.UserID, p.Feature)
		} else {
			b.Queue(addForget, p.UserID, p.Feature, event.ID)
		}
	default:
		return false
	}
	return true
}

func queueAction(b *pgx.Batch, kind events.Type, a *events.Action) {
	status, round := Pending, a.Round
	var decided *time.Time
	switch kind {
	case events.TypeActionApproved:
		status = Approved
	case events.TypeActionRejected:
		status = Rejected
	case events.TypeActionReverted:
		round++
	}
	if status != Pending {
		at := a.DecidedAt
		decided = &at
	}
	b.Queue(restoreAction, [16]byte(a.ActionID), a.UserID, a.PolicyID, a.Mail.ID, a.Action, a.Confidence, a.Explored,
		append([]string{}, a.Features...), a.FeatureRule, a.Mail.Category, a.Mail.SenderDomain, a.Mail.ListID,
		status, round, a.ProposedAt, decided)
}
