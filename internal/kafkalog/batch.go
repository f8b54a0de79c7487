package kafkalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// batch is a record batch of message format 2: its header, and its records as they were sent.
type batch struct {
	base          int64
	epoch         int32
	attributes    int16
	lastDelta     int32
	first, latest int64 // times in milliseconds
	producer      int64
	count         int32
	records       []byte
}

// The bits of a batch's attributes.
const (
	compressionBits  = 7
	appendTimeBit    = 1 << 3
	transactionalBit = 1 << 4
	controlBit       = 1 << 5
)

func (b *batch) last() int64         { return b.base + int64(b.lastDelta) }
func (b *batch) compression() int    { return int(b.attributes & compressionBits) }
func (b *batch) appendTime() bool    { return b.attributes&appendTimeBit != 0 } // latest is the broker's time, and that of all records
func (b *batch) transactional() bool { return b.attributes&transactionalBit != 0 }
func (b *batch) control() bool       { return b.attributes&controlBit != 0 }

// headerSize is the length of what stands before the records of a batch, and uncounted of what its length leaves out.
const (
	headerSize = 61
	uncounted  = 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// index finds the whole batches of an answer and checks their sums; the last one may be cut short by the bound of the
// request. Damage behind the first batch is left to the next fetch, which begins with it.
func (c *Chunk) index(content []byte) error {
	for len(content) >= headerSize {
		length := int(int32(binary.BigEndian.Uint32(content[8:]))) + uncounted
		if length < headerSize {
			return c.damaged(errDamaged)
		}
		if length > len(content) {
			return nil
		}
		b, err := readBatch(content[:length])
		if err != nil {
			return c.damaged(err)
		}
		if b.last() >= c.From {
			c.batches = append(c.batches, b)
		}
		if b.last() >= c.Next { // also past what compaction removed
			c.Next, c.Epoch = b.last()+1, b.epoch
		}
		content = content[length:]
	}
	return nil
}

// damaged returns err unless there is something to use before the damage.
func (c *Chunk) damaged(err error) error {
	if c.Next > c.From {
		return nil
	}
	return err
}

func readBatch(content []byte) (batch, error) {
	r := wire{b: content}
	var b batch
	b.base = r.int64()
	r.int32() // length
	b.epoch = r.int32()
	if magic := r.int8(); magic != 2 {
		return b, fmt.Errorf("messages of format %d are not read: convert the topic to format 2 (Kafka 0.11)", magic)
	}
	if sum := uint32(r.int32()); crc32.Checksum(r.b, castagnoli) != sum {
		return b, errors.New("a batch whose checksum is wrong")
	}
	b.attributes, b.lastDelta = r.int16(), r.int32()
	b.first, b.latest, b.producer = r.int64(), r.int64(), r.int64()
	r.skip(6) // producer epoch, base sequence
	b.count = r.int32()
	if !r.ok() || b.base < 0 || b.count < 0 || b.lastDelta < 0 {
		return b, errDamaged
	}
	b.records = r.b
	return b, nil
}
