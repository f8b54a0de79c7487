package events_test

import (
	"testing"

	"github.com/applylens/applylens/events"
)

// The vectors are those of Kafka's own tests (UtilsTest.testMurmur2).
func TestMurmur2(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(events.Murmur2([]byte(key))); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
}

func TestPartition(t *testing.T) {
	for count := 1; count < 20; count++ {
		for _, key := range []string{"", "21", "foobar", "abc"} {
			positive := int64(int32(events.Murmur2([]byte(key))) & 0x7fffffff)
			if got := events.Partition([]byte(key), count); int64(got) != positive%int64(count) {
				t.Errorf("%q of %d: %d", key, count, got)
			}
		}
	}
}
