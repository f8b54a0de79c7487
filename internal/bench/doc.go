// Package bench measures a deployment: how fast groups fold and rebuild, what that costs in processor time and memory,
// how soon a decision is visible, and how soon mail is found by a change of its application.
//
// It measures processes of the real binary on real Kafka and PostgreSQL, with all guarantees on, and compares what they
// leave in the tables with what was written to the log: a fast wrong result is a fault. It prints the targets beside the
// figures and judges no speed itself.
//
// A log is one of four streams: own events, as the relay writes them, and three of another service with an ordinary
// client of Kafka. Absolute figures drift with the machine, so every run folds each stream once, and the ratios compare
// streams within a run.
//
// Each stream has a database and topics of its own, which are deleted at the end.
//
// The streams come from internal/testkit/load. It is the only package of internal/testkit that code outside of tests
// may import, because tests and bench need the same events.
package bench
