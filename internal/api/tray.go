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
	for i, w := range waiting {
		items[i] = trayItem{
			ID: w.ID, Action: w.Action, Params: object(w.Params), Confidence: w.Confidence, Explored: w.Explored,
			Rationale: object(w.Rationale), Policy: trayPolicy{w.PolicyID, w.PolicyName}, CreatedAt: w.CreatedAt.UTC(),
			Email: trayEmail{w.EmailID, w.Subject, w.Sender, utc(w.ReceivedAt)},
		}
	}
	return &trayOutput{items}, nil
}

// notNil makes an empty list [] in JSON and not null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
