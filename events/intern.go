package events

import "hash/maphash"

const (
	internSlots = 1 << 13
	internBytes = MaxFeature // longer texts rarely occur again
)

// interner is a bounded table of recent texts, so that a repeated text is allocated once. A text with the slot of another
// replaces it.
type interner struct {
	seed  maphash.Seed
	slots [internSlots]string
}

func newInterner() *interner { return &interner{seed: maphash.MakeSeed()} }

// intern returns b as a string.
func (n *interner) intern(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > internBytes {
		return string(b)
	}
	slot := &n.slots[maphash.Bytes(n.seed, b)%internSlots]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}
