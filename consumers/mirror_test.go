package consumers

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMirrorKeepsWhatCouldNotBeCommitted(t *testing.T) {
	var committed map[int]int64
	fails := true
	var m *mirror
	m = &mirror{topic: "t", log: slog.New(slog.DiscardHandler), commit: func(offsets map[string]map[int]int64) error {
		if fails {
			m.add(1, 12) // a newer position comes while the older one is on its way
			return errors.New("the coordinator is away")
		}
		committed = offsets["t"]
		return nil
	}}
	m.add(0, 5)
	m.add(1, 10)
	m.flush()
	fails = false
	m.flush()
	if diff := cmp.Diff(map[int]int64{0: 5, 1: 12}, committed); diff != "" {
		t.Error(diff)
	}
}
