package consumers

import "testing"

// FuzzFetchAnswer reads any bytes as an answer: it must not panic, not run away, and never go back.
func FuzzFetchAnswer(f *testing.F) {
	f.Add(int16(11), []byte{})
	f.Add(int16(4), make([]byte, 200))
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		answer := fetchAnswer{version: version, body: body}
		c, err := answer.chunk(7)
		if err == nil && c.next < 7 {
			t.Errorf("reading went back to %d", c.next)
		}
	})
}

// FuzzBatches does the same with the batches alone, whose checksums it makes right.
func FuzzBatches(f *testing.F) {
	f.Add(make([]byte, batchHeader))
	f.Fuzz(func(t *testing.T, records []byte) {
		c := &chunk{from: 7, next: 7}
		aborted := abortedTransactions{producers: map[int64]bool{}}
		h := batch{base: 7, count: int32(len(records))}
		if err := c.readRecords(&h, records, &aborted); err == nil {
			for _, r := range c.records {
				if r.offset < c.from {
					t.Errorf("a record at %d, before what was asked for", r.offset)
				}
			}
		}
	})
}
