// Package consumers is the loop that all groups share: it takes records out of Kafka and folds them into projections in
// PostgreSQL, each exactly once in effect.
//
// # The loop in a page
//
// Run joins the Kafka group of a projection and gets partitions assigned. For each assignment it opens a session: one
// transaction claims the partitions' positions, which fences every earlier owner, and reads what folding needs: relay
// sequences and the offsets that are dead-lettered already. A goroutine for each partition fetches one request ahead
// (readers); one or two workers take what they fetched and fold it, batch by batch.
//
// A batch ends when it is full, when the log has no more, or when the linger is over. It is written in one transaction:
//
//	positions: compare-and-set of offset and owner   ledger.Log.Advance
//	relay sequences                                  ledger.Log.RaiseSequences
//	the projection's rows                            Batch.Write, the projection's own
//	dead letters, erasures                           ledger.Log.AddLetters, ApplyErasures
//	COMMIT
//
// Whoever lost a partition finds the position moved or owned by another: the whole transaction is rolled back, and the
// session ends. An unknown outcome of COMMIT is settled by trying the same transaction again. After the commit the position
// is mirrored to Kafka's group offset, for other tools; it is never read from there.
//
// Every record ends as applied, repeated or dead-lettered (record.go). Events of our own relay are deduplicated by their
// relay sequence. Events of other producers are deduplicated by their effect, which the transaction claims first; until
// the database has answered, the records of such a batch are held (held.go). A batch that the database refuses is written
// again in halves until the refused record is alone; it becomes a dead letter. A batch that times out is halved too.
//
// Where the log is not what was read (records gone, a truncated or recreated topic, a missing sequence), where too many
// records are refused, or where code and data do not fit, the partition halts with a reason and a remedy. Errors of
// servers that are away are never a reason: they are waited out.
//
// # What it leaves to others
//
// The loop knows positions and transactions, but no projection's table and no statement: ledger has those of the loop,
// the projections their own. It never imports a projection or a producer. Building versions beside the live one is
// package rebuild, operators' verbs are package operate, and how far groups are behind is package lag.
package consumers
