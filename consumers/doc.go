// Package consumers takes facts out of Kafka: it holds the loop that all projections share, from the membership in a
// consumer group to the position in PostgreSQL, and the verbs on versions and positions.
//
// It promises that every record ends as applied, repeated or dead-lettered, in the same transaction that advances the
// position, and that it halts with a reason where the log is not what it was. It knows positions, transactions and
// dead letters, and no projection's table; it never imports a projection or a producer.
package consumers
