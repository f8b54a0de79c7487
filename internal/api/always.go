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
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/policy"
)

const alwaysDescription = `Proposes the same action for mail of the same category from the same sender domain, from now on, or from the same address where anybody can have ` +
	`one at that domain: priority 40, ` +
	`threshold max(0.7, confidence - 0.05). The mail need not be there any more, and the action's state does not matter and stays as it is. ` +
	`Asked again, also for another action of the same kind, it answers with the same policy, however its name, priority or threshold were edited since; ` +
	`one that was disabled is enabled. A policy whose condition or action was edited is another one, and a deleted one stays deleted: then a new one is made.`

// always creates the policy for mail like an action's. Concurrent requests create it once, since they take turns under
// the person's lock.
func (s *server) always(ctx context.Context, in *actionInput) (*answered[policyView], error) {
	id, err := events.ParseUUID(in.ID)
	if err != nil {
		return nil, notFound("action")
	}
	var found actions.ByID
	return change(ctx, s, in.Key, http.StatusOK, work[policyView]{
		everybody: true, // it makes a policy
		first:     func(b *pgx.Batch, user string) { actions.Read(b, user, []events.UUID{id}, &found) },
		then: func(ctx context.Context, tx *transaction) (policyView, error) {
			a := found[id]
			if a == nil {
				return policyView{}, notFound("action")
			}
			sender, err := senderOf(ctx, tx, a)
			if err != nil {
				return policyView{}, err
			}
			wanted := policy.Always(a.Action, a.Category, a.SenderDomain, sender, a.Confidence)
			if faults := wanted.Validate(); faults != nil {
				return policyView{}, huma.Error422UnprocessableEntity("no policy can tell what mail is like this one: it has no sender's domain, or one where anybody can have " +
					"an address and the mail is not there any more, or a text that no condition can hold")
			}
			return ensurePolicy(ctx, tx, wanted)
		},
	})
}

// selectSender returns who sent a mail that a person has.
const selectSender = `SELECT sender FROM live_mails WHERE user_id = $1 AND id = $2`

// senderOf returns the address that an action's mail came from, if that counts: of its features, or of the mail if they are of the first
// rule; "" if neither tells.
func senderOf(ctx context.Context, tx *transaction, a *actions.Action) (sender string, err error) {
	if sender = policy.SenderOf(a.Features); sender != "" || !domain.Open(a.SenderDomain) {
		return sender, nil
	}
	id, err := events.ParseUUID(a.EmailID)
	if err != nil {
		return "", nil
	}
	if err := tx.QueryRow(ctx, selectSender, tx.user, [16]byte(id)).Scan(&sender); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("look for the mail's sender: %w", err)
	}
	return sender, nil
}

// ensurePolicy returns the policy with the wanted action and condition, and creates it when there is none.
func ensurePolicy(ctx context.Context, tx *transaction, wanted policy.Policy) (policyView, error) {
	enabled, err := actions.EnablePolicy(ctx, tx, tx.user, wanted)
	if err == nil {
		return viewOf(enabled), nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return policyView{}, fmt.Errorf("look for the policy: %w", err)
	}
	taken, err := actions.PolicyNames(ctx, tx, tx.user)
	if err != nil {
		return policyView{}, err
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
