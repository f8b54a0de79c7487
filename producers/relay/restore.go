package relay

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/person"
)

// insertUser brings a person back of whom the log has decisions, as old as the first of them. Tokens are not in the log:
// they are made anew.
const insertUser = `INSERT INTO users (id, created_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`

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

// selectErasures reads the erasures of persons that the outbox has, sent or not.
const selectErasures = `SELECT payload, headers FROM outbox WHERE type = $1 AND aggregatetype = $2`

// restore puts own events of the log back whose transactions the database has lost. A person who was erased since does
// not come back, whether the log tells it, further on, or the outbox.
func (t *term) restore(ctx context.Context, tx pgx.Tx, at topicPartition, missing []entry) error {
	if at.topic != events.TopicActions || len(missing) == 0 {
		return nil
	}
	erased, err := t.erasures(ctx, tx)
	if err != nil {
		return err
	}
	r, decoder := restoring{tx: tx, erased: erased, batch: &pgx.Batch{}}, events.NewDecoder()
	for i := range missing {
		var event events.Event
		if decoder.Decode(&missing[i].head, missing[i].value, &event) != nil {
			continue // not written by us, or by a later version: the consumers report it
		}
		if err := r.restore(ctx, &event); err != nil {
			return err
		}
	}
	if err := r.send(ctx); err != nil {
		return err
	}
	if r.events > 0 {
		t.Log.Warn("events of ours that the database does not know are put back", "partition", at.partition, "events", r.events)
	}
	return nil
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

// erasures returns when persons were last erased, as far as the outbox knows.
func (t *term) erasures(ctx context.Context, tx pgx.Tx) (map[string]time.Time, error) {
	rows, err := tx.Query(ctx, selectErasures, events.TypeUserErased.String(), events.TopicActions)
	if err != nil {
		return nil, err
	}
	erased := map[string]time.Time{}
	var payload, headers []byte
	_, err = pgx.ForEachRow(rows, []any{&payload, &headers}, func() error {
		event, ok := t.decodeRow(payload, headers)
		if ok && event.Erasure.RecordedAt.After(erased[event.Erasure.UserID]) {
			erased[event.Erasure.UserID] = event.Erasure.RecordedAt
		}
		return nil
	})
	return erased, err
}

// decodeRow reads an event of ours out of the outbox. A redriven record is another's, and may be broken.
func (t *term) decodeRow(payload, headers []byte) (event events.Event, ok bool) {
	list, err := outbox.UnmarshalHeaders(headers)
	if err != nil {
		return event, false
	}
	decoder := events.NewDecoder()
	head, err := decoder.Head(list)
	if err != nil || head.Source != t.source || decoder.Decode(&head, payload, &event) != nil {
		return event, false
	}
	return event, true
}

// restoring puts events back, in the order of the log.
type restoring struct {
	tx     pgx.Tx
	erased map[string]time.Time // persons whose events from before then stay away
	batch  *pgx.Batch           // not yet sent
	policy int64                // greatest number of a policy
	events int
}

// restore does again what an event did beside what the consumers fold.
func (r *restoring) restore(ctx context.Context, event *events.Event) error {
	r.policy = max(r.policy, greatestPolicy(event))
	if event.Type != events.TypeUserErased {
		if recordedAt(event).After(r.erased[event.UserID()]) && queueRestore(r.batch, event) {
			r.events++
		}
		return nil
	}
	r.events++
	if err := r.send(ctx); err != nil {
		return err
	}
	return person.EraseOwned(ctx, r.tx, event.Erasure.UserID, event.Erasure.RecordedAt)
}

// recordedAt is when an event about actions or preferences was written; zero for all others.
func recordedAt(event *events.Event) time.Time {
	switch {
	case event.Action != nil:
		return event.Action.RecordedAt
	case event.Preference != nil:
		return event.Preference.RecordedAt
	}
	return time.Time{}
}

// send carries out what is queued.
func (r *restoring) send(ctx context.Context) error {
	if r.policy > 0 {
		r.batch.Queue(advancePolicies, r.policy)
	}
	batch := r.batch
	r.batch = &pgx.Batch{}
	return r.tx.SendBatch(ctx, batch).Close()
}

// queueRestore tells whether an event of its type leaves anything but what the consumers fold.
func queueRestore(batch *pgx.Batch, event *events.Event) bool {
	switch event.Type {
	case events.TypeActionProposed, events.TypeActionApproved, events.TypeActionRejected, events.TypeActionReverted:
		batch.Queue(insertUser, event.Action.UserID, event.Action.RecordedAt)
		queueAction(batch, event)
	case events.TypeActionPerformed:
		batch.Queue(insertUser, event.Action.UserID, event.Action.RecordedAt)
		queuePerformed(batch, event.Action)
	case events.TypePreferenceChanged:
		if event.Preference.Op == events.PreferencePin {
			return false // it leaves no more than a weight
		}
		batch.Queue(insertUser, event.Preference.UserID, event.Preference.RecordedAt)
		batch.Queue(restoreForget, event.Preference.UserID, event.Preference.Feature)
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
