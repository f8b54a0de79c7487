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

// folded are the tables that the consumer groups write, partitioned by version, in the order in which a fold takes rows.
var folded = []string{"weight_counts", "policy_days", "mails", "mail_addresses", "mail_correspondents"}
