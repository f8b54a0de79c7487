package actions

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/policy"
)

const policyColumns = ` id, name, enabled, priority, condition, action, confidence_threshold, created_at, updated_at`

// selectPolicies lists the person's policies in the order in which they are tried.
const selectPolicies = `
SELECT` + policyColumns + ` FROM policies WHERE user_id = $1 AND deleted_at IS NULL
ORDER BY priority, created_at DESC, id DESC`

const selectPolicy = `SELECT` + policyColumns + ` FROM policies WHERE user_id = $1 AND id = $2 AND deleted_at IS NULL`

// insertPolicy adds a policy unless the person has too many already; then it returns no row.
const insertPolicy = `
INSERT INTO policies (user_id, name, enabled, priority, condition, action, confidence_threshold)
SELECT $1, $2, $3, $4, $5, $6, $7
WHERE (SELECT count(*) FROM policies WHERE user_id = $1 AND deleted_at IS NULL) < 500
RETURNING` + policyColumns

const updatePolicy = `
UPDATE policies
SET name = $3, enabled = $4, priority = $5, condition = $6, action = $7, confidence_threshold = $8, updated_at = now()
WHERE user_id = $1 AND id = $2 AND deleted_at IS NULL
RETURNING` + policyColumns

// deletePolicy keeps the row for the statistics and the proposals that name it.
const deletePolicy = `
UPDATE policies SET deleted_at = now(), updated_at = now()
WHERE user_id = $1 AND id = $2 AND deleted_at IS NULL`

// enablePolicy finds the person's policy with an action and a condition, compared as JSON, and enables it; one that is
// enabled is preferred, and not changed. It returns no row when there is none.
const enablePolicy = `
UPDATE policies
SET enabled = true, updated_at = CASE WHEN enabled THEN updated_at ELSE now() END
WHERE id = (SELECT id FROM policies
            WHERE user_id = $1 AND deleted_at IS NULL AND action = $2 AND condition = $3
            ORDER BY enabled DESC, id
            LIMIT 1)
RETURNING` + policyColumns

// selectPolicyNames lists the names that are taken.
const selectPolicyNames = `SELECT name FROM policies WHERE user_id = $1 AND deleted_at IS NULL`

// advancePolicies keeps the ids of policies up to one from being given away again.
const advancePolicies = `SELECT setval('policies_id_seq', $1) FROM policies_id_seq WHERE last_value < $1`

func scanPolicy(row pgx.CollectableRow) (policy.Policy, error) {
	var p policy.Policy
	err := row.Scan(&p.ID, &p.Name, &p.Enabled, &p.Priority, &p.Condition, &p.Action, &p.Threshold, &p.CreatedAt, &p.UpdatedAt)
	return p, err
}

// onePolicy runs a statement that returns one policy. Its error is pgx.ErrNoRows when it returns none.
func onePolicy(ctx context.Context, db DB, sql string, args ...any) (policy.Policy, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return policy.Policy{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanPolicy)
}

// Policies lists the person's policies in the order in which they are tried.
func Policies(ctx context.Context, db DB, user string) ([]policy.Policy, error) {
	return list(ctx, db, "read policies", scanPolicy, selectPolicies, user)
}

// ReadPolicies stores in into what Policies lists.
func ReadPolicies(b *pgx.Batch, user string, into *[]policy.Policy) {
	queue(b, "read policies", into, scanPolicy, selectPolicies, user)
}

// PolicyNames lists the names of the person's policies.
func PolicyNames(ctx context.Context, db DB, user string) ([]string, error) {
	return list(ctx, db, "read policy names", pgx.RowTo[string], selectPolicyNames, user)
}

// Policy returns a policy of the person. The error is pgx.ErrNoRows when there is no such policy.
func Policy(ctx context.Context, db DB, user string, id int64) (policy.Policy, error) {
	return onePolicy(ctx, db, selectPolicy, user, id)
}

// AddPolicy adds a valid policy. The error is pgx.ErrNoRows when the person has 500 already.
func AddPolicy(ctx context.Context, db DB, user string, p policy.Policy) (policy.Policy, error) {
	return onePolicy(ctx, db, insertPolicy, user, p.Name, p.Enabled, p.Priority, p.Condition, p.Action, p.Threshold)
}

// AddPolicies adds valid policies to a person who has none.
func AddPolicies(b *pgx.Batch, user string, list []policy.Policy) {
	for _, p := range list {
		b.Queue(insertPolicy, user, p.Name, p.Enabled, p.Priority, p.Condition, p.Action, p.Threshold)
	}
}

// ReplacePolicy gives a policy of the person the content of a valid one. The error is pgx.ErrNoRows when there is no such
// policy.
func ReplacePolicy(ctx context.Context, db DB, user string, id int64, p policy.Policy) (policy.Policy, error) {
	return onePolicy(ctx, db, updatePolicy, user, id, p.Name, p.Enabled, p.Priority, p.Condition, p.Action, p.Threshold)
}

// DeletePolicy deletes a policy of the person and tells whether there was one.
func DeletePolicy(ctx context.Context, db DB, user string, id int64) (bool, error) {
	tag, err := db.Exec(ctx, deletePolicy, user, id)
	return tag.RowsAffected() > 0, err
}

// EnablePolicy enables the person's policy with the action and condition of p. The error is pgx.ErrNoRows when there is
// none.
func EnablePolicy(ctx context.Context, db DB, user string, p policy.Policy) (policy.Policy, error) {
	return onePolicy(ctx, db, enablePolicy, user, p.Action, p.Condition)
}

// AdvancePolicies keeps the ids up to greatest from being given to new policies.
func AdvancePolicies(b *pgx.Batch, greatest int64) { b.Queue(advancePolicies, greatest) }
