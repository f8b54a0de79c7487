package actions

import (
	"context"
	"encoding/json"
	"fmt"
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

// selectHistory lists the person's decisions, newest first, as selectTray lists proposals.
const selectHistory = `
SELECT a.id::text, a.action, a.params, a.confidence, a.explored, a.rationale, a.created_at,
       a.policy_id, COALESCE(p.name, ''), a.email_id, COALESCE(m.subject, ''), COALESCE(m.sender, ''), m.received_at,
       a.status, a.decided_at
FROM actions a
LEFT JOIN policies p ON p.id = a.policy_id AND p.user_id = a.user_id
LEFT JOIN live_mails m ON m.id = a.email_id::uuid AND m.user_id = a.user_id
WHERE a.user_id = $1 AND a.status IN ('approved', 'rejected')
ORDER BY a.decided_at DESC, a.id
LIMIT $2`

// Proposed is a proposal with what people want to see of its policy and mail.
type Proposed struct {
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

// fields are where the columns go that both lists have.
func (p *Proposed) fields() []any {
	return []any{&p.ID, &p.Action, &p.Params, &p.Confidence, &p.Explored, &p.Rationale, &p.CreatedAt,
		&p.PolicyID, &p.PolicyName, &p.EmailID, &p.Subject, &p.Sender, &p.ReceivedAt}
}

// Decided is a proposal with its decision.
type Decided struct {
	Proposed
	Status    string // Approved or Rejected
	DecidedAt time.Time
}

// Tray lists the person's proposals that wait for a decision, newest first.
func Tray(ctx context.Context, db DB, user string, limit int) ([]Proposed, error) {
	return list(ctx, db, "read tray", func(row pgx.CollectableRow) (p Proposed, err error) {
		err = row.Scan(p.fields()...)
		return p, err
	}, selectTray, user, limit)
}

// History lists the person's decisions that stand, newest first.
func History(ctx context.Context, db DB, user string, limit int) ([]Decided, error) {
	return list(ctx, db, "read history", func(row pgx.CollectableRow) (d Decided, err error) {
		err = row.Scan(append(d.fields(), &d.Status, &d.DecidedAt)...)
		return d, err
	}, selectHistory, user, limit)
}

// selectOnMail lists what was proposed for a mail of the person, the newest first. Each part has an index of its own.
const selectOnMail = `
SELECT a.id::text, a.action, a.params, a.confidence, a.explored, a.rationale, a.created_at, a.policy_id, COALESCE(p.name, ''),
       CASE WHEN a.status = 'pending' AND a.created_at <= now() - interval '30 days' THEN 'expired' ELSE a.status END, a.decided_at
FROM (
    SELECT * FROM actions WHERE user_id = $1 AND email_id = $2 AND status = 'pending'
    UNION ALL
    SELECT * FROM actions WHERE user_id = $1 AND email_id = $2 AND status IN ('approved', 'rejected')
    UNION ALL
    SELECT * FROM actions WHERE user_id = $1 AND email_id = $2 AND status = 'expired') a
LEFT JOIN policies p ON p.id = a.policy_id AND p.user_id = a.user_id
ORDER BY a.created_at DESC, a.id
LIMIT $3`

// OnMail is a proposal for a mail that is known, and what became of it.
type OnMail struct {
	Proposed
	Status    string
	DecidedAt *time.Time // nil unless it was decided
}

// ReadOnMail stores in into what was proposed for a mail of the person, whatever became of it, the newest first.
func ReadOnMail(b *pgx.Batch, user, mail string, limit int, into *[]OnMail) {
	b.Queue(selectOnMail, user, mail, limit).Query(func(rows pgx.Rows) (err error) {
		*into, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p OnMail, err error) {
			err = row.Scan(&p.ID, &p.Action, &p.Params, &p.Confidence, &p.Explored, &p.Rationale, &p.CreatedAt, &p.PolicyID, &p.PolicyName, &p.Status, &p.DecidedAt)
			return p, err
		})
		if err != nil {
			return fmt.Errorf("read proposals for a mail: %w", err)
		}
		return nil
	})
}
