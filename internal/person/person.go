// Package person hands out, or erases, everything that is kept of one person. It is the one place that knows every
// table with something of a person in it; a test holds it to the schema.
//
// Export reads one snapshot. Erase is one transaction, after which nothing is left but what the package cannot reach:
// the log, which goes on to hold the old records; backups; and what was exported. It emits user.erased to both topics of
// persons, so that every fold and every rebuild forgets the person at that place of the log; whatever comes later
// under the same id begins a new, empty person.
//
// Both work for a person without a row in users, who is known from mail or from other producers' events alone.
package person

// owned are the tables that the API writes, with what takes a person's rows until a moment out of each, in an order in
// which nothing refers to what is gone.
var owned = []struct{ table, erase string }{
	{"tokens", `DELETE FROM tokens WHERE user_id = $1 AND created_at <= $2`},
	{"idempotency_keys", `DELETE FROM idempotency_keys WHERE user_id = $1 AND created_at <= $2`},
	{"actions", `DELETE FROM actions WHERE user_id = $1 AND created_at <= $2`},
	{"performed_actions", `DELETE FROM performed_actions WHERE user_id = $1 AND performed_at <= $2`},
	{"forgotten_features", `
DELETE FROM forgotten_features f USING users u WHERE f.user_id = u.id AND u.id = $1 AND u.created_at <= $2`},
	{"policies", `DELETE FROM policies WHERE user_id = $1 AND created_at <= $2`},
	{"own_addresses", `
DELETE FROM own_addresses o USING users u WHERE o.user_id = u.id AND u.id = $1 AND u.created_at <= $2`},
	{"users", `DELETE FROM users WHERE id = $1 AND created_at <= $2`},
}

// folded are the tables that the consumer groups write, partitioned by version, in the order in which a fold takes rows.
var folded = []string{"weight_counts", "policy_days", "mails", "mail_addresses", "mail_correspondents"}
