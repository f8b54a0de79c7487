// Package warehouse turns what a data warehouse says of job applications into application.changed and .removed.
//
// # Differences
//
// A warehouse tells states, not changes, and its own marks of change miss things: a table that is emptied or loaded anew
// deletes rows without a trace. So a sync reads rows, compares a hash of each with the one it remembers, and puts an
// event into the outbox for each real difference; the hash and the event commit together. A whole read also finds
// what is gone. Between whole reads a cursor on synced_at, with an overlap, saves reading. Reading the same again
// writes nothing.
//
// # Holding
//
// A sync that would remove or change more at once than people do is taken for a fault of the warehouse: it is held
// as a whole, says why, and goes on only when it has healed or an operator accepts it. The same holds for a read
// without rows, a column that is missing or has another type, and a system that another source writes.
//
// # Change topics
//
// Topics in Debezium's form go the same way: the same hashes, numbers and guard, with the position in the topic moved in
// the transaction of the event.
//
// # Numbers
//
// src_version is the greater of the last one plus 1 and the start of the sync in microseconds, so it grows also over a
// database restored from a backup. One source at a time writes a system.
//
// A row that cannot be read is reported and skipped; what is known of its application stays. The package publishes
// nothing itself: the relay does.
package warehouse
