package actions

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
)

// selectTray lists the person's proposals that can be decided, newest first, with what people want to see of policy
// and mail. A mail that does not exist (any more) leaves its fields empty.
const selectTray = `
SELECT a.id::text, a.action, a.params, a.confidence, a.explored, a.rationale, a.created_at,
       a.policy_id, COALESCE(p.name, ''), a.email_id, COALESCE(m.subject, ''), COALESCE(m.sender, ''), m.received_at
FROM actions a
LEFT JOIN policies p ON p.id = a.policy_id AND p.user_id = a.user_id
LEFT JOIN live_mails m ON m.id = a.email_id::uuid AND m.user_id = a.user_id
WHERE a.user_id = $1 AND a.status = 'pending' AND a.created_at > now() - interval '30 days'
ORDER BY a.created_at DESC, a.id
LIMIT $2`

// Waiting is a proposal that waits for a decision.
type Waiting struct {
	ID         string
	Action     string
	Params     json.RawMessage
	Confidence float64
	Explored   bool
	Rationale  json.RawMessage
	CreatedAt  time.Time

	PolicyID   int64
	PolicyName string

	EmailID    string
	Subject    string
	Sender     string     // the address
	ReceivedAt *time.Time // nil when the mail does not exist
}

// Tray lists the person's proposals that wait for a decision, newest first.
func Tray(ctx context.Context, db DB, user string, limit int) ([]Waiting, error) {
	return list(ctx, db, "read tray", func(row pgx.CollectableRow) (Waiting, error) {
		var w Waiting
		err := row.Scan(&w.ID, &w.Action, &w.Params, &w.Confidence, &w.Explored, &w.Rationale, &w.CreatedAt,
			&w.PolicyID, &w.PolicyName, &w.EmailID, &w.Subject, &w.Sender, &w.ReceivedAt)
		return w, err
	}, selectTray, user, limit)
}
