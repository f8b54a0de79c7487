package ledger

import (
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/printable"
)

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

// The greatest lengths of what an operator may write, in bytes. The rest is cut off.
const (
	mostActor  = 200
	mostReason = 2000
)

// Add records the act in the transaction that carries it out. Actor and reason become single lines of printable text.
func (a *Audit) Add(tx *postgres.Tx) {
	actor, reason := events.CleanText(printable.Text(a.Actor), mostActor), events.CleanText(printable.Text(a.Reason), mostReason)
	tx.Queue(addAuditSQL, actor, a.Verb, a.Group, a.Version, a.Topic, a.Partition, a.From, a.To, reason)
}
