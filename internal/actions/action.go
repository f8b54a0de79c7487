package actions

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// The states of an action.
const (
	Pending  = "pending"
	Approved = "approved"
	Rejected = "rejected"
	Expired  = "expired"
)

// Action is a proposal and what became of it, as stored.
type Action struct {
	ID           events.UUID
	EmailID      string
	PolicyID     int64
	Action       string
	Params       json.RawMessage
	Confidence   float64
	Explored     bool
	Rationale    json.RawMessage
	Features     []string
	FeatureRule  int
	Category     string
	SenderDomain string
	ListID       string
	Status       string // Expired after 30 days, even if the row still says pending
	Round        int    // how often a decision was reverted
	CreatedAt    time.Time
	DecidedAt    *time.Time
	RecordedAt   time.Time // the database's clock when the row was read; it never runs back between changes of one person
}

// ByID are actions by their ids.
type ByID map[events.UUID]*Action

// columns are what scan reads, in its order, of a table or alias a.
const columns = ` a.id, a.email_id, a.policy_id, a.action, a.params, a.confidence, a.explored, a.rationale,
    a.features, a.feature_rule, a.mail_category, a.mail_sender_domain, a.mail_list_id,
    CASE WHEN a.status = 'pending' AND a.created_at <= now() - interval '30 days' THEN 'expired' ELSE a.status END,
    a.round, a.created_at, a.decided_at, clock_timestamp()`

func scan(row pgx.CollectableRow) (*Action, error) {
	var a Action
	var id [16]byte
	err := row.Scan(&id, &a.EmailID, &a.PolicyID, &a.Action, &a.Params, &a.Confidence, &a.Explored, &a.Rationale,
		&a.Features, &a.FeatureRule, &a.Category, &a.SenderDomain, &a.ListID,
		&a.Status, &a.Round, &a.CreatedAt, &a.DecidedAt, &a.RecordedAt)
	a.ID = id
	return &a, err
}

// queueActions adds a query that returns columns.
func queueActions(b *pgx.Batch, doing string, into *ByID, sql string, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		*into = make(ByID, len(list))
		for _, a := range list {
			(*into)[a.ID] = a
		}
		return nil
	})
}

// Event returns what an event of a kind says about a. Its id follows from its content: built again, it is the same event.
func (a *Action) Event(kind events.Type, user, source string) *events.Event {
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
	e := &events.Event{
		Envelope: events.Envelope{Source: source, Type: kind, Subject: a.ID.String(), Time: a.RecordedAt.UTC()},
		Action:   payload,
	}
	e.ID = events.EffectID(e).String()
	return e
}

// KindOf returns the type of the event that tells of a decision.
func KindOf(status string) events.Type {
	if status == Approved {
		return events.TypeActionApproved
	}
	return events.TypeActionRejected
}
