package consumers

import (
	"testing"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
)

// Of a whole batch of conflicts, only some records are read again for one transaction.
func TestConflictsOfATransactionAreBounded(t *testing.T) {
	var h held
	before := map[events.UUID]uint64{}
	for n := range 1000 {
		key := events.UUID{byte(n), byte(n >> 8), 1}
		before[key] = 1
		h.entries = append(h.entries, entry{event: &events.Event{}, effect: ledger.Effect{Key: key, Hash: 2}})
	}
	h.take = len(h.entries)
	h.distinctEffects()
	whole, conflicts := h.judge(before)
	if whole != conflictsAtOnce || conflicts != conflictsAtOnce {
		t.Errorf("%d entries with %d conflicts, want %d of both", whole, conflicts, conflictsAtOnce)
	}
	for i := range h.entries {
		if refused := h.entries[i].refused != nil; refused != (i < whole) {
			t.Errorf("entry %d is refused: %t", i, refused)
		}
	}
}
