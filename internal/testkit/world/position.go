package world

import (
	"fmt"

	"github.com/jackc/pgx/v5"
)

const (
	selectPositions = `
SELECT p.partition, p.next_offset, p.state, p.halt_reason, p.halt_detail
FROM positions p JOIN projections j ON j.group_name = p.group_name AND j.live_version = p.version
WHERE p.group_name = $1 AND p.topic = $2 AND p.state <> 'replaced'
ORDER BY p.partition`

	selectLedger = `
SELECT COALESCE(sum(fetched), 0)::bigint, COALESCE(sum(applied), 0)::bigint, COALESCE(sum(repeated), 0)::bigint, COALESCE(sum(dead_lettered), 0)::bigint
FROM positions p JOIN projections j ON j.group_name = p.group_name AND j.live_version = p.version
WHERE p.group_name = $1`
)

// Position is where the live version of a group stands in a partition.
type Position struct {
	Partition             int32
	Next                  int64
	State, Reason, Detail string
}

// Positions returns where the live version of a group stands.
func (w *World) Positions(group, topic string) ([]Position, error) {
	rows, err := w.Pool.Query(w.Context(), selectPositions, group, topic)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Position])
}

// Folded returns nil if the live version of a group has folded everything that is in its topic.
func (w *World) Folded(group, topic string) error {
	ends, err := w.Ends(topic)
	if err != nil {
		return err
	}
	positions, err := w.Positions(group, topic)
	if err != nil {
		return err
	}
	for _, at := range positions {
		if end := ends[at.Partition]; at.Next != end {
			return fmt.Errorf("%s/%d stands at %d of %d (%s %s)", group, at.Partition, at.Next, end, at.State, at.Reason)
		}
		delete(ends, at.Partition)
	}
	for partition, end := range ends {
		if end != 0 {
			return fmt.Errorf("%s/%d has no position yet, of %d", group, partition, end)
		}
	}
	return nil
}

// AwaitFolded waits until the live version of a group has folded everything that is in its topic.
func (w *World) AwaitFolded(group, topic string) {
	w.Helper()
	w.Eventually(group+" is at the end of "+topic, func() error { return w.Folded(group, topic) })
}

// Ledger is what positions counted.
type Ledger struct{ Fetched, Applied, Repeated, DeadLettered int64 }

// Ledger returns what the positions of a group's live version counted.
func (w *World) Ledger(group string) Ledger {
	w.Helper()
	return Rows[Ledger](w, selectLedger, group)[0]
}

// AwaitFetched waits until a group has met so many records: those that are read again count again.
func (w *World) AwaitFetched(group string, count int64) {
	w.Helper()
	w.Eventually("the records are read", func() error {
		l := w.Ledger(group)
		return Want(l.Fetched == count, "%+v", l)
	})
}

// DeadLetters returns how many records of a group were dead-lettered for each reason.
func (w *World) DeadLetters(group string) map[string]int {
	w.Helper()
	return Map[string, int](w, "SELECT reason, count(*) FROM dead_letters WHERE group_name = $1 GROUP BY reason", group)
}
