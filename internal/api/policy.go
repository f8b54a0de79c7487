package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/policy"
)

// policyBody is what the author of a policy sets. A nil pointer means left out; huma's defaults would replace false and 0.
type policyBody struct {
	Name                string   `json:"name" minLength:"1" maxLength:"255" doc:"Unique among the caller's policies"`
	Enabled             *bool    `json:"enabled,omitempty" default:"true"`
	Priority            *int     `json:"priority,omitempty" default:"100" minimum:"1" maximum:"1000" doc:"Lower first"`
	Condition           object   `json:"condition" doc:"all, any, not, or one comparison {op: [field, value]}"`
	Action              string   `json:"action" enum:"label_email,archive_email,move_to_folder,unsubscribe_via_header,create_calendar_event,create_task,block_sender,quarantine_attachment"`
	ConfidenceThreshold *float64 `json:"confidence_threshold,omitempty" default:"0.7" minimum:"0" maximum:"1"`
}

func (b *policyBody) policy() policy.Policy {
	return policy.Policy{Name: b.Name, Enabled: orDefault(b.Enabled, true), Priority: orDefault(b.Priority, policy.DefaultPriority),
		Condition: canonical(b.Condition), Action: b.Action, Threshold: orDefault(b.ConfidenceThreshold, policy.DefaultThreshold)}
}

// canonical rewrites a JSON object without what PostgreSQL could read differently: numbers out of a float64's range.
func canonical(o object) []byte {
	var value any
	if err := json.Unmarshal(o, &value); err != nil {
		return o // refused when it is validated
	}
	text, err := json.Marshal(value)
	if err != nil {
		return o
	}
	return text
}

func orDefault[T any](given *T, otherwise T) T {
	if given == nil {
		return otherwise
	}
	return *given
}

type policyView struct {
	ID                  int64     `json:"id"`
	Name                string    `json:"name"`
	Enabled             bool      `json:"enabled"`
	Priority            int       `json:"priority"`
	Condition           object    `json:"condition"`
	Action              string    `json:"action"`
	ConfidenceThreshold float64   `json:"confidence_threshold"`
	CreatedAt           time.Time `json:"created_at"`
	UpdatedAt           time.Time `json:"updated_at"`
}

func viewOf(p policy.Policy) policyView {
	return policyView{ID: p.ID, Name: p.Name, Enabled: p.Enabled, Priority: p.Priority, Condition: object(p.Condition),
		Action: p.Action, ConfidenceThreshold: p.Threshold, CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC()}
}

type (
	PolicyID struct {
		ID int64 `path:"id"`
	}
	policyCreate struct {
		Idempotent
		Body policyBody
	}
	policyUpdate struct {
		PolicyID
		Body policyBody
	}
	policyOutput struct {
		Body policyView
	}
	policiesOutput struct {
		Body []policyView `nullable:"false"`
	}
)

func (s *server) routePolicies(api huma.API) {
	tags := []string{"policies"}
	Route(api, huma.Operation{OperationID: "listPolicies", Method: http.MethodGet, Path: "/policy", Tags: tags,
		Summary: "List the policies in the order in which they are tried"}, s.listPolicies)
	Route(api, huma.Operation{OperationID: "createPolicy", Method: http.MethodPost, Path: "/policy", Tags: tags,
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict}, Summary: "Create a policy"}, s.createPolicy)
	Route(api, huma.Operation{OperationID: "getPolicy", Method: http.MethodGet, Path: "/policy/{id}", Tags: tags,
		Summary: "Read a policy"}, s.getPolicy)
	Route(api, huma.Operation{OperationID: "replacePolicy", Method: http.MethodPut, Path: "/policy/{id}", Tags: tags,
		Errors: []int{http.StatusConflict}, Summary: "Replace a policy; what is left out gets its default"}, s.replacePolicy)
	Route(api, huma.Operation{OperationID: "deletePolicy", Method: http.MethodDelete, Path: "/policy/{id}", Tags: tags,
		DefaultStatus: http.StatusNoContent, Summary: "Delete a policy; its statistics and proposals stay"}, s.deletePolicy)
}

// policies returns all policies of the person.
func (s *server) policies(ctx context.Context) ([]policy.Policy, error) {
	return actions.Policies(ctx, s.pool, auth.From(ctx).ID)
}

func (s *server) listPolicies(ctx context.Context, _ *struct{}) (*policiesOutput, error) {
	list, err := s.policies(ctx)
	if err != nil {
		return nil, err
	}
	out := &policiesOutput{Body: make([]policyView, 0, len(list))}
	for _, p := range list {
		out.Body = append(out.Body, viewOf(p))
	}
	return out, nil
}

func (s *server) getPolicy(ctx context.Context, in *PolicyID) (*policyOutput, error) {
	p, err := actions.Policy(ctx, s.pool, auth.From(ctx).ID, in.ID)
	if err != nil {
		return nil, policyProblem("read policy", err)
	}
	return &policyOutput{viewOf(p)}, nil
}

func (s *server) createPolicy(ctx context.Context, in *policyCreate) (*answered[policyView], error) {
	p := in.Body.policy()
	if faults := p.Validate(); faults != nil {
		return nil, invalidPolicy(faults)
	}
	// The number of a new policy must not be one that the log has, whoever's.
	return change(ctx, s, in.Key, http.StatusCreated, work[policyView]{everybody: true, then: func(ctx context.Context, tx *transaction) (policyView, error) {
		return addPolicy(ctx, tx, p)
	}})
}

// addPolicy inserts a policy that is valid.
func addPolicy(ctx context.Context, tx *transaction, p policy.Policy) (policyView, error) {
	created, err := actions.AddPolicy(ctx, tx, tx.user, p)
	if errors.Is(err, pgx.ErrNoRows) {
		return policyView{}, huma.Error422UnprocessableEntity("there are 500 policies already: delete one first")
	}
	if err != nil {
		return policyView{}, policyProblem("create policy", err)
	}
	return viewOf(created), nil
}

func (s *server) replacePolicy(ctx context.Context, in *policyUpdate) (*answered[policyView], error) {
	p := in.Body.policy()
	if faults := p.Validate(); faults != nil {
		return nil, invalidPolicy(faults)
	}
	return change(ctx, s, "", http.StatusOK, work[policyView]{then: func(ctx context.Context, tx *transaction) (policyView, error) {
		updated, err := actions.ReplacePolicy(ctx, tx, tx.user, in.ID, p)
		if err != nil {
			return policyView{}, policyProblem("replace policy", err)
		}
		return viewOf(updated), nil
	}})
}

func (s *server) deletePolicy(ctx context.Context, in *PolicyID) (*struct{}, error) {
	_, err := change(ctx, s, "", http.StatusNoContent, work[struct{}]{then: func(ctx context.Context, tx *transaction) (struct{}, error) {
		deleted, err := actions.DeletePolicy(ctx, tx, tx.user, in.ID)
		switch {
		case err != nil:
			return struct{}{}, fmt.Errorf("delete policy: %w", err)
		case !deleted:
			return struct{}{}, notFound("policy")
		}
		return struct{}{}, nil
	}})
	return nil, err
}

// policyProblem turns the error of a statement on one policy into an answer.
func policyProblem(doing string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound("policy")
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.ConstraintName == "policies_name" {
		return huma.Error409Conflict("the name is taken",
			&huma.ErrorDetail{Location: "body.name", Message: "another of your policies has this name"})
	}
	return fmt.Errorf("%s: %w", doing, err)
}
