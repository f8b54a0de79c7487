package relay

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// insertUser brings a person back of whom the log has decisions. Tokens are not in the log: they are made anew.
const insertUser = `INSERT INTO users (id) VALUES ($1) ON CONFLICT (id) DO NOTHING`

// restoreAction moves an action forward to what the log says, never back. A second pending proposal of the same mail
// and policy, made after the restore, stays; the older one is as good as expired.
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

// restoreForget counts a forget of a feature, or of all for the empty text, in the order of the log: decisions before it
// have a lower count, and those after it not.
const restoreForget = `
WITH counted AS (UPDATE users SET forgets = forgets + 1 WHERE id = $1 RETURNING forgets)
INSERT INTO forgotten_features (user_id, feature, forget)
SELECT $1, $2, forgets FROM counted
ON CONFLICT (user_id, feature) DO UPDATE SET forget = excluded.forget`

// restorePerformed brings back what was done by hand, so that it is not told again as something new.
const restorePerformed = `
INSERT INTO performed_actions (id, user_id, email_id, action, policies, performed_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING`

// advancePolicies keeps the numbers of policies that a backup does not know from being given away again.
const advancePolicies = `SELECT setval('policies_id_seq', $1) FROM policies_id_seq WHERE last_value < $1`

// eraseUser and voidUser do again what erasing a person did to what a backup brought back.
const (
	eraseUser = `DELETE FROM users WHERE id = $1`
	voidUser  = `
UPDATE outbox
SET state = 'void', aggregateid = '', payload = '', headers = '[]', user_id = ''
WHERE user_id = $1 AND published_at IS NULL AND state = 'open' AND type <> 'applylens.user.erased.v1'`
)

// restore puts own events of the log back whose transactions the database has lost.
func (t *term) restore(ctx context.Context, tx pgx.Tx, at place, missing []entry) error {
	if at.topic != events.TopicActions {
		return nil
	}
	batch, decoder, policy, put := &pgx.Batch{}, events.NewDecoder(), int64(0), 0
	for i := range missing {
		var event events.Event
		if decoder.Decode(&missing[i].head, missing[i].value, &event) != nil {
			continue // not written by us, or by a later version: the consumers report it
		}
		if queueRestore(batch, &event) {
			put++
		}
		policy = max(policy, greatestPolicy(&event))
	}
	if put == 0 {
		return nil
	}
	batch.Queue(advancePolicies, policy)
	t.Log.Warn("events of ours that the database does not know are put back", "partition", at.partition, "events", put)
	return tx.SendBatch(ctx, batch).Close()
}

// greatestPolicy returns the greatest number of a policy that an event names, 0 when it names none.
func greatestPolicy(event *events.Event) int64 {
	if event.Action == nil {
		return 0
	}
	greatest := event.Action.PolicyID
	for _, id := range event.Action.Policies {
		greatest = max(greatest, id)
	}
	return greatest
}

// queueRestore tells whether an event of its type leaves anything but what the consumers fold.
func queueRestore(batch *pgx.Batch, event *events.Event) bool {
	switch event.Type {
	case events.TypeActionProposed, events.TypeActionApproved, events.TypeActionRejected, events.TypeActionReverted:
		batch.Queue(insertUser, event.Action.UserID)
		queueAction(batch, event)
	case events.TypeActionPerformed:
		batch.Queue(insertUser, event.Action.UserID)
		queuePerformed(batch, event.Action)
	case events.TypePreferenceChanged:
		if event.Preference.Op == events.PreferencePin {
			return false // it leaves no more than a weight
		}
		batch.Queue(insertUser, event.Preference.UserID)
		batch.Queue(restoreForget, event.Preference.UserID, event.Preference.Feature)
	case events.TypeUserErased:
		batch.Queue(eraseUser, event.Erasure.UserID)
		batch.Queue(voidUser, event.Erasure.UserID)
	default:
		return false
	}
	return true
}

func queuePerformed(batch *pgx.Batch, a *events.Action) {
	batch.Queue(restorePerformed, [16]byte(a.ActionID), a.UserID, a.Mail.ID, a.Action, append([]int64{}, a.Policies...), a.ProposedAt)
}

func queueAction(batch *pgx.Batch, event *events.Event) {
	a := event.Action
	status, round := "pending", a.Round
	var decided *time.Time
	switch event.Type {
	case events.TypeActionApproved:
		status, decided = "approved", &a.DecidedAt
	case events.TypeActionRejected:
		status, decided = "rejected", &a.DecidedAt
	case events.TypeActionReverted:
		round++
	}
	if decided != nil {
		at := *decided // the event's memory is used again
		decided = &at
	}
	batch.Queue(restoreAction, [16]byte(a.ActionID), a.UserID, a.PolicyID, a.Mail.ID, a.Action, a.Confidence, a.Explored,
		append([]string{}, a.Features...), a.FeatureRule, a.Mail.Category, a.Mail.SenderDomain, a.Mail.ListID,
		status, round, a.ProposedAt, decided)
}
