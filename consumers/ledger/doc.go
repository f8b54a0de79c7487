// Package ledger holds every statement by which the consumers keep account in PostgreSQL: positions with their
// compare-and-set, relay sequences, processed effects, dead letters, halts, versions of projections, and the audit of what
// operators did.
//
// It promises that a position moves only for its owner, and only together with everything else in the transaction. It
// reads no log, decides on no record and knows no projection's columns.
package ledger
