package api

import (
	"context"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
)

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

// decided is the outcome of one of many decisions.
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
	Route(api, costly(huma.Operation{OperationID: "propose", Method: http.MethodPost, Path: "/actions/propose", Tags: tags,
		Errors: []int{http.StatusNotFound}, Summary: "Let the policies propose actions on mail"}), s.propose)
	Route(api, huma.Operation{OperationID: "tray", Method: http.MethodGet, Path: "/actions/tray", Tags: tags,
		Summary: "List what waits for a decision, newest first"}, s.tray)
	Route(api, huma.Operation{OperationID: "history", Method: http.MethodGet, Path: "/actions/history", Tags: tags,
		Summary: "List the decisions that stand, newest first"}, s.history)
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
		Errors: []int{http.StatusNotFound}, Summary: "Record an action that was done by hand",
		Description: performedDescription}, s.performed)
}

// decideOne handles approve and reject, which differ in the status that they bring about.
func (s *server) decideOne(status string) func(context.Context, *actionInput) (*answered[actionView], error) {
	return func(ctx context.Context, in *actionInput) (*answered[actionView], error) {
		id, err := events.ParseUUID(in.ID)
		if err != nil {
			return nil, notFound("action")
		}
		ids := []events.UUID{id}
		var won, now actions.ByID
		return change(ctx, s, in.Key, http.StatusOK, work[actionView]{
			first: func(b *pgx.Batch, user string) {
				actions.Decide(b, user, ids, []string{status}, &won)
				actions.Read(b, user, ids, &now)
			},
			then: func(_ context.Context, tx *transaction) (actionView, error) {
				if a := won[id]; a != nil {
					return viewOfAction(a), tx.emit(tx.event(actions.KindOf(status), a))
				}
				return repeatDecision(tx, now[id], status)
			},
		})
	}
}

// repeatDecision answers a decision on an action that was not pending: as the first time when it was decided so, with
// a conflict otherwise.
func repeatDecision(tx *transaction, a *actions.Action, status string) (actionView, error) {
	if a == nil {
		return actionView{}, notFound("action")
	}
	if a.Status != status {
		return actionView{}, conflictOf(a, "the action is "+a.Status+", no longer pending")
	}
	tx.last = tx.event(actions.KindOf(status), a).ID
	return viewOfAction(a), nil
}

func (s *server) revert(ctx context.Context, in *actionInput) (*answered[actionView], error) {
	id, err := events.ParseUUID(in.ID)
	if err != nil {
		return nil, notFound("action")
	}
	var reverted actions.Reverted
	var now actions.ByID
	return change(ctx, s, in.Key, http.StatusOK, work[actionView]{
		first: func(b *pgx.Batch, user string) {
			actions.Revert(b, user, id, &reverted)
			actions.Read(b, user, []events.UUID{id}, &now)
		},
		then: func(_ context.Context, tx *transaction) (actionView, error) {
			a := now[id]
			if a == nil {
				return actionView{}, notFound("action")
			}
			if e := reverted.Event(id, tx.user, tx.source); e != nil {
				return viewOfAction(a), tx.emit(e)
			}
			return repeatRevert(tx, a)
		},
	})
}

// repeatRevert answers a revert of an action that has no decision: as the first time when one was reverted before.
func repeatRevert(tx *transaction, a *actions.Action) (actionView, error) {
	if a.Round == 0 {
		return actionView{}, conflictOf(a, "the action is "+a.Status+": there is no decision to take back")
	}
	tx.last = a.RevertedEventID(tx.user, tx.source)
	return viewOfAction(a), nil
}

func (s *server) decideMany(ctx context.Context, in *decideInput) (*answered[decidedList], error) {
	ids, statuses, err := readDecisions(in.Body.Decisions)
	if err != nil {
		return nil, err
	}
	var won, now actions.ByID
	return change(ctx, s, in.Key, http.StatusOK, work[decidedList]{
		first: func(b *pgx.Batch, user string) {
			actions.Decide(b, user, ids, statuses, &won)
			actions.Read(b, user, ids, &now)
		},
		then: func(_ context.Context, tx *transaction) (decidedList, error) {
			list := decidedList{Results: make([]decided, 0, len(in.Body.Decisions))}
			for _, d := range in.Body.Decisions {
				list.Results = append(list.Results, outcomeOf(d, won, now))
			}
			return list, tx.emit(decisions(tx, ids, won)...)
		},
	})
}

// decisions builds the events of the decisions that were won, in the order of ids.
func decisions(tx *transaction, ids []events.UUID, won actions.ByID) []*events.Event {
	var list []*events.Event
	for _, id := range ids {
		if a := won[id]; a != nil {
			list = append(list, tx.event(actions.KindOf(a.Status), a))
		}
	}
	return list
}

// readDecisions returns each action once, with its new status. A malformed id is left out, and so reported as not found.
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

func outcomeOf(d decision, won, now actions.ByID) decided {
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
