// Package warehouse reads job applications from a data warehouse and emits application.changed and .removed.
//
// # Differences
//
// A warehouse contains states, not changes, and its change timestamps are incomplete: emptying or reloading a table deletes
// rows without a trace. So a sync reads rows, compares a hash of each with the stored one, and writes an event to the outbox
// for each difference; the hash and the event commit together. A full read also detects removed applications. Between full
// reads, partial ones use a cursor on synced_at, with an overlap. Reading unchanged rows writes nothing.
//
// # Holding
//
// A sync that would remove or change unusually much at once looks like a fault of the warehouse. It is held as a whole, says
// why, and continues only after the warehouse has recovered or an operator accepts it. A sync is also held for a read
// without rows, a column that is missing or has another type, and a system that another source owns.
//
// # Change topics
//
// Topics in Debezium's format use the same hashes, versions and guard. The position in the topic advances in the transaction
// that writes the events.
//
// # Versions
//
// src_version is the start of the sync in microseconds, or the last src_version plus 1 if that is greater. So it also
// increases after the database was restored from a backup. A system has one source at a time.
//
// A row that cannot be read is reported and skipped, and its application keeps its last known state. The package does not
// publish events itself; the relay does.
package warehouse
