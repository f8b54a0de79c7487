// Package relay publishes the outbox to Kafka: every row, in order, and never under two relay sequences.
//
// # Relay sequences
//
// One relay leads at a time: the one whose own connection holds an advisory lock. Each term of leadership has an id. Before
// a row is first published it is assigned a relay sequence (relay id, topic, partition, number), on that connection and in
// the order of seq; the numbers of a term and partition are dense from 1. The sequence goes out in headers and never
// changes, so the consumers drop a row that is published twice. It is the idempotent producer's idea, with PostgreSQL as
// the memory.
//
// # Order
//
// A partition has one request in flight, and nothing later is sent before it has succeeded. Rows that an earlier term
// sequenced go first. A row that Kafka rejects is marked dead, and its sequence is published without content, as is that
// of an erased row: a gap would halt every consumer.
//
// # Reconciling
//
// Before it publishes to a partition first, and again after any failed request or change of leader, the relay inspects it: whether
// the last record that it published is still there, and which records follow it. Lost records are published again, from
// the first missing one on, before anything new. When the log has records of ours that the database does not know, since it
// was restored from a backup, the relay reconciles the database with the log: rows get the sequences found there, and
// decisions return to the actions.
//
// # Failure
//
// While Kafka or PostgreSQL is down the relay retries with backoff, without end. It needs a direct connection to
// PostgreSQL: a pooler in transaction mode breaks the lock.
package relay
