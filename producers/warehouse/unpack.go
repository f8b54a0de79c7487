package warehouse

import (
	"errors"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/internal/kafkalog"
)

// errEnough tells that batches unpacked to as much as they may for now.
var errEnough = errors.New("the batches of an answer unpack to more than may be held at once")

// unpacker unpacks batches for a client of franz-go, which unpacks all of an answer before it returns any: a few kilobytes of
// them could take all memory. Behind the limit it returns errEnough. The client then returns what it has, and asks for the
// rest later. It may be used concurrently.
type unpacker struct {
	batch, answer int // bytes
	unpacked      atomic.Int64
}

// renew lets it begin anew. Whoever polls the client calls it before.
func (u *unpacker) renew() { u.unpacked.Store(0) }

// Decompress implements kgo.Decompressor. The error is kgo.ErrMaxDecompress for a batch that is too large, and errEnough when
// those since renew came to as many bytes as an answer may.
func (u *unpacker) Decompress(packed []byte, compression kgo.CompressionCodecType) ([]byte, error) {
	if compression == kgo.CodecNone {
		return packed, nil
	}
	if u.unpacked.Load() >= int64(u.answer) {
		return nil, errEnough
	}
	unpacked, err := kafkalog.Unpack(int(compression), packed, u.batch)
	u.unpacked.Add(int64(len(unpacked)))
	if errors.Is(err, kafkalog.ErrTooLarge) {
		return nil, kgo.ErrMaxDecompress
	}
	return unpacked, err
}
