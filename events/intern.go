package events

import "hash/maphash"

const (
	internSlots = 1 << 13
	internBytes = MaxFeature // longer texts hardly ever repeat
)

// interner remembers the texts that it saw last, so that a text that repeats is allocated once. It is bounded: a text
// that falls on the slot of another takes its place.
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
