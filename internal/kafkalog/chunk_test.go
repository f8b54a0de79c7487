package kafkalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzFetchAnswer reads any bytes as an answer: it must not panic, not run away, and never go back.
func FuzzFetchAnswer(f *testing.F) {
	f.Add(int16(11), []byte{})
	f.Add(int16(4), make([]byte, 200))
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		c, err := (&answer{version: version, body: bytes.Clone(body)}).chunk(7, false)
		if err != nil {
			return
		}
		if c.Next < 7 {
			t.Errorf("reading went back to %d", c.Next)
		}
		drain(t, c)
	})
}

// FuzzBatches does the same with the records of one batch, whose checksum it makes right.
func FuzzBatches(f *testing.F) {
	f.Add(int16(0), make([]byte, headerSize))
	f.Add(int16(2), []byte{1, 0})
	f.Fuzz(func(t *testing.T, attributes int16, records []byte) {
		c := &Chunk{From: 7, Next: 7}
		if err := c.index(encodeBatch(5, attributes, int32(len(records)), 100, records)); err == nil {
			drain(t, c)
		}
	})
}

// drain reads a chunk to its end. Offsets must grow, from From to below Next.
func drain(t *testing.T, c *Chunk) (records, unreadable int) {
	t.Helper()
	last := c.From - 1
	for r := c.Read(); r != nil; r = c.Read() {
		if r.Offset <= last || r.Last < r.Offset || r.Last >= c.Next {
			t.Fatalf("a record at %d..%d after %d, in a chunk to %d", r.Offset, r.Last, last, c.Next)
		}
		last = r.Last
		if r.Err != nil {
			unreadable++
		} else {
			records++
		}
	}
	c.Release()
	return records, unreadable
}

// encodeBatch writes a batch of format 2 whose offsets are base to base+lastDelta.
func encodeBatch(base int64, attributes int16, count, lastDelta int32, records []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(base))
	b = appendInts(b, int32(headerSize-uncounted+len(records)), 3) // length, leader epoch
	b = append(b, 2)
	b = appendInts(b, 0) // checksum
	b = binary.BigEndian.AppendUint16(b, uint16(attributes))
	b = appendInts(b, lastDelta)
	b = append(b, make([]byte, 8+8+8+6)...) // times, producer
	b = appendInts(b, count)
	b = append(b, records...)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}

// encodeRecords writes records with a value each and the offsets 0, 1, 2 …
func encodeRecords(values ...[]byte) []byte {
	var b []byte
	for i, value := range values {
		one := []byte{0}                         // attributes
		one = binary.AppendVarint(one, 0)        // time
		one = binary.AppendVarint(one, int64(i)) // offset
		one = binary.AppendVarint(one, -1)       // no key
		one = binary.AppendVarint(one, int64(len(value)))
		one = append(one, value...)
		one = binary.AppendVarint(one, 0) // headers
		b = append(binary.AppendVarint(b, int64(len(one))), one...)
	}
	return b
}

func chunkOf(t *testing.T, batches ...[]byte) *Chunk {
	t.Helper()
	c := &Chunk{Epoch: -1}
	if err := c.index(bytes.Join(batches, nil)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestJavasSnappyFrames(t *testing.T) {
	records := encodeRecords(bytes.Repeat([]byte("a"), 50_000), []byte("b"))
	packed := append([]byte("\x82SNAPPY\x00"), 0, 0, 0, 1, 0, 0, 0, 1)
	for part := range slices.Chunk(records, 32<<10) {
		block := s2.EncodeSnappy(nil, part)
		packed = append(binary.BigEndian.AppendUint32(packed, uint32(len(block))), block...)
	}
	c := chunkOf(t, encodeBatch(0, compressionSnappy, 2, 1, packed))
	if r := c.Read(); r == nil || len(r.Value) != 50_000 {
		t.Fatalf("the first record is %+v", r)
	}
	if r := c.Read(); r == nil || string(r.Value) != "b" {
		t.Fatalf("the second record is %+v", r)
	}
}

// What cannot be read is one record with an error, and what stands before and behind it is read.
func TestUnreadableBatchIsOneRecord(t *testing.T) {
	good := encodeRecords([]byte("good"))
	claims := binary.AppendUvarint(nil, 1<<31) // a snappy block that claims two gigabytes
	cases := map[string][]byte{
		"unknown compression": encodeBatch(1, 7, 3, 2, good),
		"no gzip":             encodeBatch(1, compressionGzip, 3, 2, good),
		"no snappy":           encodeBatch(1, compressionSnappy, 3, 2, []byte("?")),
		"a claim of snappy":   encodeBatch(1, compressionSnappy, 3, 2, append(claims, make([]byte, 100)...)),
		"no lz4":              encodeBatch(1, compressionLZ4, 3, 2, good),
		"no zstd":             encodeBatch(1, compressionZstd, 3, 2, good),
		"cut short":           encodeBatch(1, 0, 3, 2, encodeRecords([]byte("one"))[:3]),
		"negative length":     encodeBatch(1, 0, 3, 2, []byte{1}),
		"offset beyond":       encodeBatch(1, 0, 3, 0, encodeRecords([]byte("a"), []byte("b"))[9:]),
	}
	for name, bad := range cases {
		t.Run(name, func(t *testing.T) {
			c := chunkOf(t, encodeBatch(0, 0, 1, 0, good), bad, encodeBatch(4, 0, 1, 0, good))
			if records, unreadable := drain(t, c); records < 2 || unreadable != 1 {
				t.Errorf("%d records and %d unreadable ones, want 2 and 1", records, unreadable)
			}
		})
	}
}

// A batch that unpacks to gigabytes takes the memory of one step, and its records have outcomes.
func TestBombsAreBounded(t *testing.T) {
	huge := make([]byte, 256<<20)
	length := binary.AppendVarint(nil, int64(len(huge)))
	pack := map[string]func() []byte{
		"gzip": func() []byte {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = w.Write(length)
			_, _ = w.Write(huge)
			_ = w.Close()
			return encodeBatch(0, compressionGzip, 1, 0, b.Bytes())
		},
		"zstd": func() []byte {
			w, _ := zstd.NewWriter(nil)
			return encodeBatch(0, compressionZstd, 1, 0, w.EncodeAll(append(length, huge...), nil))
		},
	}
	for name, packed := range pack {
		t.Run(name, func(t *testing.T) {
			c := chunkOf(t, packed())
			r := c.Read()
			if r == nil || r.Err == nil {
				t.Fatalf("the record is %+v, want one with an error", r)
			}
			if name == "gzip" && !errors.Is(r.Err, errTooLarge) {
				t.Errorf("error %v, want %v", r.Err, errTooLarge)
			}
			if cap(c.window.own) > largeBuffer {
				t.Errorf("the window has %d bytes", cap(c.window.own))
			}
		})
	}
}

// A batch that counts more records than it has offsets for does not take those of the next batch.
func TestCountBeyondTheLastOffset(t *testing.T) {
	good := encodeRecords([]byte("good"))
	c := chunkOf(t, encodeBatch(0, 0, 2, 0, append(slices.Clone(good), 1)), encodeBatch(1, 0, 1, 0, good))
	if records, unreadable := drain(t, c); records != 2 || unreadable != 0 {
		t.Errorf("%d records and %d unreadable ones, want 2 and none", records, unreadable)
	}
}

// Headers take many times the memory of their bytes, and names are remembered for as long as their chunk is read.
func TestHeadersAreBounded(t *testing.T) {
	record := func(headers ...byte) []byte {
		one := append([]byte{0, 0, 0, 1, 0}, headers...) // attributes, time, offset, no key, an empty value
		return append(binary.AppendVarint(nil, int64(len(one))), one...)
	}
	many := append(binary.AppendVarint(nil, maxHeaders+1), make([]byte, 2*(maxHeaders+1))...)
	c := chunkOf(t, encodeBatch(0, 0, 1, 0, record(many...)))
	if r := c.Read(); r == nil || !errors.Is(r.Err, errTooManyHeaders) {
		t.Errorf("the record is %+v, want one with %v", r, errTooManyHeaders)
	}
	long := binary.AppendVarint([]byte{2}, longestName+1) // one header
	long = append(append(long, make([]byte, longestName+1)...), 0)
	c = chunkOf(t, encodeBatch(0, 0, 1, 0, record(long...)))
	if r := c.Read(); r == nil || r.Err != nil || len(r.Headers) != 1 || len(r.Headers[0].Key) != longestName+1 {
		t.Fatalf("the record is %+v", r)
	}
	if len(c.names) > 0 {
		t.Errorf("a name of %d bytes is remembered", longestName+1)
	}
}

func TestChunkBeginsWhereItWasAsked(t *testing.T) {
	c := &Chunk{From: 1, Next: 1}
	if err := c.index(encodeBatch(0, 0, 3, 4, encodeRecords([]byte("a"), []byte("b"), []byte("c")))); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{1, 2} {
		if r := c.Read(); r == nil || r.Offset != want {
			t.Fatalf("record %+v, want offset %d", r, want)
		}
	}
	if r := c.Read(); r != nil || c.Next != 5 { // compaction removed what stood behind
		t.Errorf("record %+v, next %d", r, c.Next)
	}
}

// BenchmarkRead reads records like those of a foreign client: nine headers, 650 bytes. BenchmarkKgo reads the same with
// franz-go's parser, for decision 8.
func BenchmarkRead(b *testing.B) {
	forEachCompression(b, func(b *testing.B, batch []byte) int {
		c := &Chunk{}
		if err := c.index(batch); err != nil {
			b.Fatal(err)
		}
		n := 0
		for c.Read() != nil {
			n++
		}
		c.Release()
		return n
	})
}

func BenchmarkKgo(b *testing.B) {
	forEachCompression(b, func(b *testing.B, batch []byte) int {
		partition := kmsg.NewFetchResponseTopicPartition()
		partition.HighWatermark, partition.LastStableOffset, partition.RecordBatches = 1000, 1000, batch
		found, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{IsolationLevel: kgo.ReadCommitted(), Topic: "t"}, &partition, kgo.DefaultDecompressor(), nil)
		if found.Err != nil {
			b.Fatal(found.Err)
		}
		return len(found.Records)
	})
}

func forEachCompression(b *testing.B, read func(*testing.B, []byte) int) {
	records := foreignRecords(1000)
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, one := range []struct {
		name  string
		batch []byte
	}{
		{"none", encodeBatch(0, 0, 1000, 999, records)},
		{"snappy", encodeBatch(0, compressionSnappy, 1000, 999, s2.EncodeSnappy(nil, records))},
		{"zstd", encodeBatch(0, compressionZstd, 1000, 999, encoder.EncodeAll(records, nil))},
	} {
		b.Run(one.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n := read(b, one.batch); n != 1000 {
					b.Fatal(n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
		})
	}
}

func foreignRecords(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for i := range n {
		one := []byte{0}
		one = binary.AppendVarint(one, int64(i))
		one = binary.AppendVarint(one, int64(i))
		for _, field := range []string{"user-0001", fmt.Sprintf("%400x", random.Uint64())} {
			one = append(binary.AppendVarint(one, int64(len(field))), field...)
		}
		one = binary.AppendVarint(one, 9)
		for h := range 9 {
			for _, field := range []string{fmt.Sprint("ce_header_", h), fmt.Sprintf("%016x", random.Uint64())} {
				one = append(binary.AppendVarint(one, int64(len(field))), field...)
			}
		}
		b = append(binary.AppendVarint(b, int64(len(one))), one...)
	}
	return b
}
