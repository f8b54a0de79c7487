package actions

import (
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

// decideActions decides those of the person's actions that are still pending, and returns them. It is the one place where
// a decision is won. The number of forgets tells a later revert which of them came after the decision.
const decideActions = `
UPDATE actions a
SET status = d.status, decided_at = clock_timestamp(), forgets = (SELECT forgets FROM users WHERE id = $1)
FROM unnest($2::uuid[], $3::text[]) AS d (id, status)
WHERE a.id = d.id AND a.user_id = $1 AND a.status = 'pending' AND a.created_at > now() - interval '30 days'
RETURNING` + columns

// selectActions reads actions of the person as they are.
const selectActions = `SELECT` + columns + ` FROM actions a WHERE a.user_id = $1 AND a.id = ANY ($2::uuid[])`

// revertAction takes the decision on an action back. The action is pending again, or expired when it is too old to be
// decided. Returned is the action as it was decided.
const revertAction = `
UPDATE actions
SET status = CASE WHEN actions.created_at > now() - interval '30 days' THEN 'pending' ELSE 'expired' END,
    round = actions.round + 1, decided_at = NULL
FROM (SELECT * FROM actions WHERE id = $2 AND user_id = $1 FOR UPDATE) a
WHERE actions.id = a.id AND a.status IN ('approved', 'rejected')
RETURNING` + columns

// selectForgotten finds which features of an action were forgotten since it was decided; the empty text means all.
const selectForgotten = `
SELECT DISTINCT f.feature
FROM actions a
JOIN forgotten_features f ON f.user_id = a.user_id AND f.forget > a.forgets
WHERE a.user_id = $1 AND a.id = $2 AND (f.feature = '' OR f.feature = ANY (a.features))`

// Decide gives those of the person's actions that are pending the statuses, Approved or Rejected, and stores them in won.
func Decide(b *pgx.Batch, user string, ids []events.UUID, statuses []string, won *ByID) {
	queueActions(b, "decide", won, decideActions, user, postgres.UUIDs(ids), statuses)
}

// Read stores in found those of the actions that are the person's, as they are now.
func Read(b *pgx.Batch, user string, ids []events.UUID, found *ByID) {
	queueActions(b, "read actions", found, selectActions, user, postgres.UUIDs(ids))
}

// Reverted is a decision that was taken back.
type Reverted struct {
	was       ByID
	forgotten []string
}

// Revert takes the decision on an action of the person back.
func Revert(b *pgx.Batch, user string, id events.UUID, r *Reverted) {
	queueActions(b, "revert", &r.was, revertAction, user, [16]byte(id))
	queue(b, "read what was forgotten", &r.forgotten, pgx.RowTo[string], selectForgotten, user, [16]byte(id))
}

// Event returns the event that takes the decision on the action back, as far as the person has not forgotten since what it
// taught. It returns nil when there was no decision.
func (r *Reverted) Event(id events.UUID, user, source string) *events.Event {
	was := r.was[id]
	if was == nil {
		return nil
	}
	e := was.Event(events.TypeActionReverted, user, source)
	e.Action.Features = without(was.Features, r.forgotten)
	e.Action.Decision = events.DecisionApproved
	if was.Status == Rejected {
		e.Action.Decision = events.DecisionRejected
	}
	return e
}

// RevertedEventID returns the id of the event that took back the latest decision on an action that has been reverted.
func (a *Action) RevertedEventID(user, source string) string {
	before := *a
	before.Round--
	return before.Event(events.TypeActionReverted, user, source).ID
}

func without(features, forgotten []string) []string {
	kept := []string{}
	if slices.Contains(forgotten, Everything) {
		return kept
	}
	for _, feature := range features {
		if !slices.Contains(forgotten, feature) {
			kept = append(kept, feature)
		}
	}
	return kept
}
