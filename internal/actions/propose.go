package actions

import (
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/policy"
)

// expireActions gives up the proposals that are too old to be decided, so that their mails can be proposed anew.
const expireActions = `
UPDATE actions SET status = 'expired'
WHERE user_id = $1 AND status = 'pending' AND created_at <= now() - interval '30 days'`

// deleteExpired forgets some of the proposals that nobody decided, whoever's they are, a year after they were made. It takes
// as many as come at once.
const deleteExpired = `
DELETE FROM actions WHERE id = ANY (ARRAY(
    SELECT id FROM actions WHERE status = 'expired' AND created_at < now() - interval '1 year'
    ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED))`

// insertActions inserts the proposals of a JSON array, in its order, except for mails that have a pending proposal or a
// standing decision under the same policy. The person's lock makes the check final; the unique index guards against a
// caller without it.
const insertActions = `
INSERT INTO actions AS a (id, user_id, policy_id, email_id, action, params, confidence, explored, rationale,
                          features, feature_rule, mail_category, mail_sender_domain, mail_list_id, created_at)
SELECT n.id, $1, n.policy_id, n.email_id, n.action, n.params, n.confidence, n.explored, n.rationale,
       n.features, n.feature_rule, n.category, n.sender_domain, n.list_id, clock_timestamp()
FROM jsonb_to_recordset($2) AS n (id uuid, policy_id bigint, email_id text, action text, params jsonb,
    confidence float8, explored boolean, rationale jsonb, features text[], feature_rule integer,
    category text, sender_domain text, list_id text)
WHERE NOT EXISTS (SELECT FROM actions x WHERE x.user_id = $1 AND x.email_id = n.email_id
                  AND x.policy_id = n.policy_id AND x.status = 'pending')
  AND NOT EXISTS (SELECT FROM actions x WHERE x.user_id = $1 AND x.email_id = n.email_id
                  AND x.policy_id = n.policy_id AND x.status IN ('approved', 'rejected'))
ON CONFLICT (user_id, email_id, policy_id) WHERE status = 'pending' DO NOTHING
RETURNING` + columns

// Proposal is what insertActions reads of a proposal.
type Proposal struct {
	ID           string            `json:"id"`
	PolicyID     int64             `json:"policy_id"`
	EmailID      string            `json:"email_id"`
	Action       string            `json:"action"`
	Params       map[string]string `json:"params"` // not nil
	Confidence   float64           `json:"confidence"`
	Explored     bool              `json:"explored"`
	Rationale    policy.Rationale  `json:"rationale"`
	Features     []string          `json:"features"` // not nil
	FeatureRule  int               `json:"feature_rule"`
	Category     string            `json:"category"`
	SenderDomain string            `json:"sender_domain"`
	ListID       string            `json:"list_id"`
}

// Propose inserts proposals in their order and stores in added those that are new: a mail that has a pending proposal of
// the same policy is not proposed again, nor one that was decided under it while the decision stands. Proposals older than
// 30 days expire before, and what expired long ago is deleted.
func Propose(b *pgx.Batch, user string, list []Proposal, added *ByID) {
	b.Queue(expireActions, user)
	b.Queue(deleteExpired)
	queueActions(b, "insert proposals", added, insertActions, user, append([]Proposal{}, list...))
}

// Added lists the actions that Propose added, in the order of the proposals.
func Added(list []Proposal, added ByID) []*Action {
	actions := make([]*Action, 0, len(added))
	for _, p := range list {
		id, _ := events.ParseUUID(p.ID) // our own
		if a := added[id]; a != nil {
			actions = append(actions, a)
		}
	}
	return actions
}
