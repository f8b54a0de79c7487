package api

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/auth"
)

// selectTray lists the person's proposals that can be decided, newest first, with what people want to see of policy
// and mail. A mail that is not there (any more) leaves its fields empty.
const selectTray = `
SELECT a.id::text, a.action, a.params, a.confidence, a.explored, a.rationale, a.created_at,
       a.policy_id, COALESCE(p.name, ''), a.email_id, COALESCE(m.subject, ''), COALESCE(m.sender, ''), m.received_at
FROM actions a
LEFT JOIN policies p ON p.id = a.policy_id AND p.user_id = a.user_id
LEFT JOIN live_mails m ON m.id = a.email_id::uuid AND m.user_id = a.user_id
WHERE a.user_id = $1 AND a.status = 'pending' AND a.created_at > now() - interval '30 days'
ORDER BY a.created_at DESC, a.id
LIMIT $2`

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
	rows, err := s.pool.Query(ctx, selectTray, auth.From(ctx).ID, in.Limit)
	if err != nil {
		return nil, fmt.Errorf("read tray: %w", err)
	}
	items, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (trayItem, error) {
		var t trayItem
		err := row.Scan(&t.ID, &t.Action, &t.Params, &t.Confidence, &t.Explored, &t.Rationale, &t.CreatedAt,
			&t.Policy.ID, &t.Policy.Name, &t.Email.ID, &t.Email.Subject, &t.Email.Sender, &t.Email.ReceivedAt)
		t.CreatedAt, t.Email.ReceivedAt = t.CreatedAt.UTC(), utc(t.Email.ReceivedAt)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("read tray: %w", err)
	}
	return &trayOutput{Body: notNil(items)}, nil
}

// notNil lets an empty list go out as [] and not as null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
