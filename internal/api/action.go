package api

import (
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// The states of an action.
const (
	pending  = "pending"
	approved = "approved"
	rejected = "rejected"
	expired  = "expired"
)

// object is a JSON object that goes through as it is.
type object json.RawMessage

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) { return json.RawMessage(o).MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler.
func (o *object) UnmarshalJSON(b []byte) error { return (*json.RawMessage)(o).UnmarshalJSON(b) }

// Schema tells huma that it is an object with any members.
func (object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// action is a proposal and what became of it, as stored.
type action struct {
	ID           events.UUID
	EmailID      string
	PolicyID     int64
	Action       string
	Params       object
	Confidence   float64
	Explored     bool
	Rationale    object
	Features     []string
	FeatureRule  int
	Category     string
	SenderDomain string
	ListID       string
	Status       string // expired also when the row does not say so yet
	Round        int
	CreatedAt    time.Time
	DecidedAt    *time.Time
	Forgets      int       // how often the person had forgotten something when it was decided
	RecordedAt   time.Time // the database's clock when the row was read; never earlier for a later change of the person
}

// actionColumns are what scanAction reads, in its order, of a table or alias a.
const actionColumns = ` a.id, a.email_id, a.policy_id, a.action, a.params, a.confidence, a.explored, a.rationale,
    a.features, a.feature_rule, a.mail_category, a.mail_sender_domain, a.mail_list_id,
    CASE WHEN a.status = 'pending' AND a.created_at <= now() - interval '30 days' THEN 'expired' ELSE a.status END,
    a.round, a.created_at, a.decided_at, a.forgets, clock_timestamp()`

func scanAction(row pgx.CollectableRow) (*action, error) {
	var a action
	var id [16]byte
	err := row.Scan(&id, &a.EmailID, &a.PolicyID, &a.Action, &a.Params, &a.Confidence, &a.Explored, &a.Rationale,
		&a.Features, &a.FeatureRule, &a.Category, &a.SenderDomain, &a.ListID,
		&a.Status, &a.Round, &a.CreatedAt, &a.DecidedAt, &a.Forgets, &a.RecordedAt)
	a.ID = id
	return &a, err
}

// event is what an event of a kind says about a, but for its id and source.
func (a *action) event(kind events.Type, user string) *events.Event {
	payload := &events.Action{
		ActionID: a.ID, UserID: user, PolicyID: a.PolicyID, Action: a.Action,
		Confidence: a.Confidence, Explored: a.Explored,
		ProposedAt: a.CreatedAt.UTC(), RecordedAt: a.RecordedAt.UTC(), Round: a.Round,
		Features: a.Features, HasFeatures: true, FeatureRule: a.FeatureRule,
		Mail: events.MailRef{ID: a.EmailID, Category: a.Category, SenderDomain: a.SenderDomain, ListID: a.ListID},
	}
	if a.DecidedAt != nil {
		payload.DecidedAt = a.DecidedAt.UTC()
	}
	envelope := events.Envelope{Type: kind, Subject: a.ID.String(), Time: a.RecordedAt.UTC()}
	return &events.Event{Envelope: envelope, Action: payload}
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

func (a *action) view() actionView {
	return actionView{
		ID: a.ID.String(), EmailID: a.EmailID, PolicyID: a.PolicyID, Action: a.Action, Params: a.Params,
		Confidence: a.Confidence, Explored: a.Explored, Rationale: a.Rationale,
		Status: a.Status, CreatedAt: a.CreatedAt.UTC(), DecidedAt: utc(a.DecidedAt),
	}
}
