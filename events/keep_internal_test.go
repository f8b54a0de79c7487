package events

import "testing"

// A slab that needed much once does not keep it.
func TestSlabGivesBlocksBack(t *testing.T) {
	var s slab[int]
	for range 3 * slabLength {
		s.take(1)
	}
	s.reset()
	s.take(1)
	s.reset()
	for i, block := range s.blocks[:cap(s.blocks)] {
		if i > 0 && block != nil {
			t.Errorf("block %d is kept", i)
		}
	}
}
