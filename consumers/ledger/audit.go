package ledger

import "github.com/applylens/applylens/internal/postgres"

// addAuditSQL records who moved a position, and why.
const addAuditSQL = `
INSERT INTO position_audit (actor, verb, group_name, version, topic, partition, from_offset, to_offset, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

// Audit is one act of an operator.
type Audit struct {
	Actor, Verb string
	Group       string
	Version     int
	Topic       string
	Partition   *int // nil: of no single partition
	From, To    *int64
	Reason      string
}

// Add records the act in the transaction that carries it out.
func (a *Audit) Add(tx *postgres.Tx) {
	tx.Queue(addAuditSQL, a.Actor, a.Verb, a.Group, a.Version, a.Topic, a.Partition, a.From, a.To, a.Reason)
}
