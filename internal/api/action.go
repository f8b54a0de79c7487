package api

import (
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/internal/actions"
)

// The states of an action.
const (
	pending  = actions.Pending
	approved = actions.Approved
	rejected = actions.Rejected
	expired  = actions.Expired
)

// object is a JSON object that is passed on as it is.
type object json.RawMessage

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) { return json.RawMessage(o).MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler.
func (o *object) UnmarshalJSON(b []byte) error { return (*json.RawMessage)(o).UnmarshalJSON(b) }

// Schema tells huma that it is an object with any members.
func (object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// actionView is an action in answers.
type actionView struct {
	ID         string     `json:"id" format:"uuid"`
	EmailID    string     `json:"email_id"`
	PolicyID   int64      `json:"policy_id"`
	Action     string     `json:"action"`
	Params     object     `json:"params"`
	Confidence float64    `json:"confidence" minimum:"0" maximum:"1"`
	Explored   bool       `json:"explored" doc:"Proposed although the confidence is low, to see whether the policy has become welcome"`
	Rationale  object     `json:"rationale"`
	Status     string     `json:"status" enum:"pending,approved,rejected,expired"`
	CreatedAt  time.Time  `json:"created_at"`
	DecidedAt  *time.Time `json:"decided_at"`
}

func viewOfAction(a *actions.Action) actionView {
	return actionView{
		ID: a.ID.String(), EmailID: a.EmailID, PolicyID: a.PolicyID, Action: a.Action, Params: object(a.Params),
		Confidence: a.Confidence, Explored: a.Explored, Rationale: object(a.Rationale),
		Status: a.Status, CreatedAt: a.CreatedAt.UTC(), DecidedAt: utc(a.DecidedAt),
	}
}
