// Package person exports or erases everything that is stored about one person. It knows every table that holds something
// about a person; a test compares it with the schema. Tables of the API are erased by their owner, internal/actions.
//
// Export reads one snapshot. Erase is one transaction, after small ones for what there may be much of. It cannot reach the
// log, which keeps the old records, nor backups and exports. It emits user.erased to both topics that hold data of persons, so
// that every fold and every rebuild forgets the person at that place in the log; later events under the same id belong to a
// new person.
//
// Both also work for a person without a row in users, who is known only from mail or from events of other producers.
package person

// folded are the tables that the consumer groups write, partitioned by version, in the order in which a fold locks rows.
var folded = []string{"weight_counts", "policy_days", "mails", "mail_addresses", "mail_correspondents"}
