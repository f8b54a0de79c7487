package api

import (
	"context"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// decideActions decides those of the person's actions that are still pending, and returns them: it is the one place
// where a decision is won, by whoever comes first.
const decideActions = `
UPDATE actions a
SET status = d.status, decided_at = clock_timestamp(), forgets = $4
FROM unnest($2::uuid[], $3::text[]) AS d (id, status)
WHERE a.id = d.id AND a.user_id = $1 AND a.status = 'pending' AND a.created_at > now() - interval '30 days'
RETURNING` + actionColumns

// selectActions reads actions of the person as they are.
const selectActions = `SELECT` + actionColumns + ` FROM actions a WHERE a.user_id = $1 AND a.id = ANY ($2::uuid[])`

// revertAction takes the decision on an action back. It is pending again, or expired when it is too old to be asked
// about. Returned is the action as it was decided.
const revertAction = `
UPDATE actions
SET status = CASE WHEN actions.created_at > now() - interval '30 days' THEN 'pending' ELSE 'expired' END,
    round = actions.round + 1, decided_at = NULL
FROM (SELECT * FROM actions WHERE id = $2 AND user_id = $1 FOR UPDATE) a
WHERE actions.id = a.id AND a.status IN ('approved', 'rejected')
RETURNING` + actionColumns

type actionInput struct {
	Idempotent
	ID string `path:"id" doc:"The action's id"`
}

type decideInput struct {
	Idempotent
	Body struct {
		Decisions []decision `json:"decisions" minItems:"1" maxItems:"1000"`
	}
}

type decision struct {
	ID       string `json:"id"`
	Decision string `json:"decision" enum:"approve,reject"`
}

// decided is what became of one of many decisions.
type decided struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome" enum:"decided,repeated,conflict,not_found" doc:"repeated: it was decided so before; conflict: it is not pending any more, see status"`
	Status  string `json:"status,omitempty" enum:"pending,approved,rejected,expired" doc:"What the action is now"`
}

type decidedList struct {
	Results []decided `json:"results" nullable:"false"`
}

func (s *server) routeActions(api huma.API) {
	tags := []string{"actions"}
	conflicts := func() map[string]*huma.Response {
		schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[conflict](), true, "Conflict")
		return map[string]*huma.Response{"409": {
			Description: "The action is in another state, which the problem names",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
		}}
	}
	Route(api, huma.Operation{OperationID: "propose", Method: http.MethodPost, Path: "/actions/propose", Tags: tags,
		Errors: []int{http.StatusNotFound}, Summary: "Let the policies propose actions on mail"}, s.propose)
	Route(api, huma.Operation{OperationID: "tray", Method: http.MethodGet, Path: "/actions/tray", Tags: tags,
		Summary: "List what waits for a decision, newest first"}, s.tray)
	Route(api, huma.Operation{OperationID: "approve", Method: http.MethodPost, Path: "/actions/{id}/approve", Tags: tags,
		Summary: "Approve an action", Responses: conflicts()}, s.decideOne(approved))
	Route(api, huma.Operation{OperationID: "reject", Method: http.MethodPost, Path: "/actions/{id}/reject", Tags: tags,
		Summary: "Reject an action", Responses: conflicts()}, s.decideOne(rejected))
	Route(api, huma.Operation{OperationID: "revert", Method: http.MethodPost, Path: "/actions/{id}/revert", Tags: tags,
		Summary: "Take a decision back", Responses: conflicts()}, s.revert)
	Route(api, huma.Operation{OperationID: "decide", Method: http.MethodPost, Path: "/actions/decide", Tags: tags,
		Summary: "Decide many actions at once"}, s.decideMany)
	Route(api, huma.Operation{OperationID: "always", Method: http.MethodPost, Path: "/actions/{id}/always", Tags: tags,
		Summary:     "Make a policy of an action, for mail of the same category and sender domain",
		Description: alwaysDescription}, s.always)
	Route(api, huma.Operation{OperationID: "performed", Method: http.MethodPost, Path: "/actions/performed", Tags: tags,
		Errors: []int{http.StatusNotFound}, Summary: "Tell what was done by hand",
		Description: performedDescription}, s.performed)
}

// kindOf is the event that tells of a decision.
func kindOf(status string) events.Type {
	if status == approved {
		return events.TypeActionApproved
	}
	return events.TypeActionRejected
}

// decideOne handles approve and reject, which differ in the status that they bring about.
func (s *server) decideOne(status string) func(context.Context, *actionInput) (*answered[actionView], error) {
	return func(ctx context.Context, in *actionInput) (*answered[actionView], error) {
		id, err := events.ParseUUID(in.ID)
		if err != nil {
			return nil, notFound("action")
		}
		if err := s.open(ctx); err != nil {
			return nil, err
		}
		return change(ctx, s, in.Key, http.StatusOK, func(ctx context.Context, tx *transaction) (actionView, error) {
			won, err := decideIn(ctx, tx, []events.UUID{id}, []string{status})
			if err != nil {
				return actionView{}, err
			}
			if a := won[id]; a != nil {
				return a.view(), nil
			}
			return repeatDecision(ctx, tx, id, status)
		})
	}
}

// decideIn decides the actions that are pending, emits their events in the order of ids, and returns them.
func decideIn(ctx context.Context, tx *transaction, ids []events.UUID, statuses []string) (map[events.UUID]*action, error) {
	won, err := actionsOf(ctx, tx, decideActions, tx.user, uuids(ids), statuses, tx.forgets)
	if err != nil {
		return nil, fmt.Errorf("decide: %w", err)
	}
	var list []*events.Event
	for _, id := range ids {
		if a := won[id]; a != nil {
			list = append(list, tx.event(kindOf(a.Status), a))
		}
	}
	return won, tx.emit(ctx, list...)
}

func actionsOf(ctx context.Context, tx pgx.Tx, sql string, args ...any) (map[events.UUID]*action, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, scanAction)
	found := make(map[events.UUID]*action, len(list))
	for _, a := range list {
		found[a.ID] = a
	}
	return found, err
}

// uuids are ids in a form that pgx knows.
func uuids(ids []events.UUID) [][16]byte {
	list := make([][16]byte, len(ids))
	for i, id := range ids {
		list[i] = id
	}
	return list
}

// repeatDecision answers a decision on an action that was not pending: as the first time when it was decided so, with
// a conflict otherwise.
func repeatDecision(ctx context.Context, tx *transaction, id events.UUID, status string) (actionView, error) {
	a, err := readAction(ctx, tx, id)
	if err != nil {
		return actionView{}, err
	}
	if a.Status != status {
		return actionView{}, conflictOf(a, "the action is "+a.Status+", no longer pending")
	}
	tx.last = tx.event(kindOf(status), a).ID
	return a.view(), nil
}

func readAction(ctx context.Context, tx *transaction, id events.UUID) (*action, error) {
	found, err := actionsOf(ctx, tx, selectActions, tx.user, uuids([]events.UUID{id}))
	if err != nil {
		return nil, fmt.Errorf("read action: %w", err)
	}
	a := found[id]
	if a == nil {
		return nil, notFound("action")
	}
	return a, nil
}

func (s *server) revert(ctx context.Context, in *actionInput) (*answered[actionView], error) {
	id, err := events.ParseUUID(in.ID)
	if err != nil {
		return nil, notFound("action")
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	return change(ctx, s, in.Key, http.StatusOK, func(ctx context.Context, tx *transaction) (actionView, error) {
		reverted, err := actionsOf(ctx, tx, revertAction, tx.user, [16]byte(id))
		if err != nil {
			return actionView{}, fmt.Errorf("revert: %w", err)
		}
		if was := reverted[id]; was != nil {
			if err := takeBack(ctx, tx, was); err != nil {
				return actionView{}, err
			}
		}
		return repeatRevert(ctx, tx, id)
	})
}

// takeBack emits the event that takes back the decision of an action as it was, as far as it is still remembered.
func takeBack(ctx context.Context, tx *transaction, was *action) error {
	features, err := remembered(ctx, tx, was)
	if err != nil {
		return err
	}
	e := tx.event(events.TypeActionReverted, was)
	e.Action.Features = features
	e.Action.Decision = events.DecisionApproved
	if was.Status == rejected {
		e.Action.Decision = events.DecisionRejected
	}
	return tx.emit(ctx, e)
}

// repeatRevert answers with the action as it is after a revert, now or earlier.
func repeatRevert(ctx context.Context, tx *transaction, id events.UUID) (actionView, error) {
	a, err := readAction(ctx, tx, id)
	if err != nil {
		return actionView{}, err
	}
	if a.Round == 0 {
		return actionView{}, conflictOf(a, "the action is "+a.Status+": there is no decision to take back")
	}
	before := *a
	before.Round--
	tx.last = tx.event(events.TypeActionReverted, &before).ID
	return a.view(), nil
}

func (s *server) decideMany(ctx context.Context, in *decideInput) (*answered[decidedList], error) {
	ids, statuses, err := readDecisions(in.Body.Decisions)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	return change(ctx, s, in.Key, http.StatusOK, func(ctx context.Context, tx *transaction) (decidedList, error) {
		won, err := decideIn(ctx, tx, ids, statuses)
		if err != nil {
			return decidedList{}, err
		}
		now, err := actionsOf(ctx, tx, selectActions, tx.user, uuids(ids))
		if err != nil {
			return decidedList{}, fmt.Errorf("read decided actions: %w", err)
		}
		list := decidedList{Results: make([]decided, 0, len(in.Body.Decisions))}
		for _, d := range in.Body.Decisions {
			list.Results = append(list.Results, outcomeOf(d, won, now))
		}
		return list, nil
	})
}

// readDecisions returns each action once, with the status that it is to get; a malformed id is left out and so not
// found later.
func readDecisions(list []decision) (ids []events.UUID, statuses []string, err error) {
	wanted := map[events.UUID]string{}
	for i, d := range list {
		id, err := events.ParseUUID(d.ID)
		if err != nil {
			continue
		}
		earlier, twice := wanted[id]
		if twice && earlier != d.Decision {
			return nil, nil, invalidField(fmt.Sprintf("body.decisions[%d]", i), "this action is both approved and rejected")
		}
		if twice {
			continue
		}
		wanted[id] = d.Decision
		ids = append(ids, id)
		statuses = append(statuses, statusOf(d.Decision))
	}
	return ids, statuses, nil
}

func statusOf(decision string) string {
	if decision == "approve" {
		return approved
	}
	return rejected
}

func outcomeOf(d decision, won, now map[events.UUID]*action) decided {
	id, _ := events.ParseUUID(d.ID)
	a := now[id]
	switch {
	case a == nil:
		return decided{ID: d.ID, Outcome: "not_found"}
	case won[id] != nil:
		return decided{d.ID, "decided", a.Status}
	case a.Status == statusOf(d.Decision):
		return decided{d.ID, "repeated", a.Status}
	}
	return decided{d.ID, "conflict", a.Status}
}
