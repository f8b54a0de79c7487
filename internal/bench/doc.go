// Package bench measures what a deployment does: how fast groups fold and rebuild, how soon a decision is visible, and how
// soon mail is found by a change of its application. It
// measures processes of the real binary on real Kafka and PostgreSQL, with all guarantees on, and holds the tables that
// come out against what was put in: a fast wrong result is a fault.
//
// It works in databases and topics of its own, which it deletes again, and judges no speed: it puts the targets beside.
package bench
