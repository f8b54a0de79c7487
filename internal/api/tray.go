package api

import (
	"context"
	"time"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
)

type trayInput struct {
	Limit int `query:"limit" default:"50" minimum:"1" maximum:"1000"`
}

type trayOutput struct {
	Body []trayItem `nullable:"false"`
}

type trayItem struct {
	ID         string     `json:"id" format:"uuid"`
	Action     string     `json:"action"`
	Params     object     `json:"params"`
	Confidence float64    `json:"confidence" minimum:"0" maximum:"1"`
	Explored   bool       `json:"explored" doc:"Proposed although the confidence is low, to see whether the policy has become welcome"`
	Rationale  object     `json:"rationale"`
	Policy     trayPolicy `json:"policy"`
	CreatedAt  time.Time  `json:"created_at"`
	Email      trayEmail  `json:"email"`
}

type trayPolicy struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

type trayEmail struct {
	ID         string     `json:"id"`
	Subject    string     `json:"subject"`
	Sender     string     `json:"sender" doc:"The address"`
	ReceivedAt *time.Time `json:"received_at"`
}

func (s *server) tray(ctx context.Context, in *trayInput) (*trayOutput, error) {
	waiting, err := actions.Tray(ctx, s.pool, auth.From(ctx).ID, in.Limit)
	if err != nil {
		return nil, err
	}
	items := make([]trayItem, len(waiting))
	for i := range waiting {
		items[i] = itemOf(&waiting[i])
	}
	return &trayOutput{items}, nil
}

func itemOf(p *actions.Proposed) trayItem {
	return trayItem{
		ID: p.ID, Action: p.Action, Params: object(p.Params), Confidence: p.Confidence, Explored: p.Explored,
		Rationale: object(p.Rationale), Policy: trayPolicy{p.PolicyID, p.PolicyName}, CreatedAt: p.CreatedAt.UTC(),
		Email: trayEmail{p.EmailID, p.Subject, p.Sender, utc(p.ReceivedAt)},
	}
}

type historyOutput struct {
	Body []historyItem `nullable:"false"`
}

type historyItem struct {
	trayItem
	Status    string    `json:"status" enum:"approved,rejected"`
	DecidedAt time.Time `json:"decided_at"`
}

func (s *server) history(ctx context.Context, in *trayInput) (*historyOutput, error) {
	decided, err := actions.History(ctx, s.pool, auth.From(ctx).ID, in.Limit)
	if err != nil {
		return nil, err
	}
	items := make([]historyItem, len(decided))
	for i := range decided {
		items[i] = historyItem{itemOf(&decided[i].Proposed), decided[i].Status, decided[i].DecidedAt.UTC()}
	}
	return &historyOutput{items}, nil
}

// notNil makes an empty list [] in JSON and not null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
