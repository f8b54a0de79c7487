// Package relay publishes the outbox to Kafka: every row, in order, and never under two numbers.
//
// # Numbers
//
// One relay leads at a time: the one whose own connection holds an advisory lock. A term of leadership has an id, and
// before a row is first published it is stamped, on that very connection and in the order of seq, with
// (relay id, topic, partition, number); numbers are dense from 1 per term and partition. The stamp goes out as
// headers and never changes, so a row that is published twice is told by its number, and the consumers drop the
// repeat. That is the idempotent producer's idea, with PostgreSQL as the memory.
//
// # Order
//
// A partition has one request in flight, and nothing later is sent before it succeeded. Rows that an earlier term
// stamped go first. A row that Kafka refuses for ever is dead, and its number goes out without content, as does that
// of an erased row: a missing number would stop every consumer.
//
// # Reading before writing
//
// Before its first publish, and again after any failed request or change of leader, the relay inspects a partition:
// that the last record it published is still there, and what stands behind it. What was lost is published again, from
// the first missing row on, before anything new. What is found but not known, since PostgreSQL was restored from a
// backup, is put back: published rows are marked with the stamp found, decisions return to the actions.
//
// # Failure
//
// Kafka or PostgreSQL being down delays: everything is tried again with backoff, for ever. The relay needs a direct
// connection to PostgreSQL; a pooler in transaction mode breaks the lock.
package relay
