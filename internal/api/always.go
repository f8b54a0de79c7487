package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/policy"
)

const alwaysDescription = `Proposes the same action for mail of the same category from the same sender domain, from now on: priority 40, ` +
	`threshold max(0.7, confidence - 0.05). The mail need not be there any more, and the action's state does not matter and stays as it is. ` +
	`Asked again, also for another action of the same kind, it answers with the same policy, however its name, priority or threshold were edited since; ` +
	`one that was disabled is enabled. A policy whose condition or action was edited is another one, and a deleted one stays deleted: then a new one is made.`

// enableAlike finds the person's policy with an action and a condition, which are compared as JSON, and sees to it that
// it is enabled; an enabled one is found first, and not changed. No row: there is none.
const enableAlike = `
UPDATE policies
SET enabled = true, updated_at = CASE WHEN enabled THEN updated_at ELSE now() END
WHERE id = (SELECT id FROM policies
            WHERE user_id = $1 AND deleted_at IS NULL AND action = $2 AND condition = $3
            ORDER BY enabled DESC, id
            LIMIT 1)
RETURNING` + policyColumns

// selectPolicyNames lists the names that are taken.
const selectPolicyNames = `SELECT name FROM policies WHERE user_id = $1 AND deleted_at IS NULL`

// always makes the policy of an action's kind of mail, once however many ask for it at the same time: the person's
// lock lets one after the other look for it.
func (s *server) always(ctx context.Context, in *actionInput) (*answered[policyView], error) {
	id, err := events.ParseUUID(in.ID)
	if err != nil {
		return nil, notFound("action")
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	return change(ctx, s, in.Key, http.StatusOK, func(ctx context.Context, tx *transaction) (policyView, error) {
		a, err := readAction(ctx, tx, id)
		if err != nil {
			return policyView{}, err
		}
		wanted := policy.Always(a.Action, a.Category, a.SenderDomain, a.Confidence)
		if faults := wanted.Validate(); faults != nil {
			return policyView{}, huma.Error422UnprocessableEntity("no policy can tell what mail is like this one: it has no sender's domain, or a text that no condition can hold")
		}
		return ensurePolicy(ctx, tx, wanted)
	})
}

// ensurePolicy returns the policy with the wanted action and condition, which it makes when there is none.
func ensurePolicy(ctx context.Context, tx *transaction, wanted policy.Policy) (policyView, error) {
	there, err := onePolicy(ctx, tx, enableAlike, tx.user, wanted.Action, wanted.Condition)
	if err == nil {
		return viewOf(there), nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return policyView{}, fmt.Errorf("look for the policy: %w", err)
	}
	rows, err := tx.Query(ctx, selectPolicyNames, tx.user)
	if err != nil {
		return policyView{}, fmt.Errorf("read policy names: %w", err)
	}
	taken, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return policyView{}, fmt.Errorf("read policy names: %w", err)
	}
	wanted.Name = freeName(wanted.Name, taken)
	return addPolicy(ctx, tx, wanted)
}

// freeName returns name, with the first free number when it is taken.
func freeName(name string, taken []string) string {
	free := name
	for n := 2; slices.Contains(taken, free); n++ {
		free = fmt.Sprintf("%s (%d)", name, n)
	}
	return free
}
