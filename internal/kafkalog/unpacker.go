package kafkalog

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrEnough tells that a client's batches unpacked to as much as they may for now.
var ErrEnough = errors.New("the batches of an answer unpack to more than may be held at once")

// Unpacker unpacks batches for a client of franz-go, which unpacks all of an answer before it returns any: a few kilobytes of
// them could take all memory. Behind the limit it returns ErrEnough. The client then returns what it has, and asks for the
// rest later. It may be used concurrently.
type Unpacker struct {
	batch, answer int64 // bytes
	unpacked      atomic.Int64
}

// NewUnpacker returns an unpacker of batches of at most so many bytes each, which does not begin another one when those since
// the last Renew came to the bytes of an answer.
func NewUnpacker(batch, answer int) *Unpacker {
	return &Unpacker{batch: int64(batch), answer: int64(answer)}
}

// Renew lets it begin anew. Whoever polls the client calls it before.
func (u *Unpacker) Renew() { u.unpacked.Store(0) }

// Decompress unpacks a batch. The error is kgo.ErrMaxDecompress for one that is too large, and ErrEnough.
func (u *Unpacker) Decompress(packed []byte, compression kgo.CompressionCodecType) ([]byte, error) {
	if compression == kgo.CodecNone {
		return packed, nil
	}
	if u.unpacked.Load() >= u.answer {
		return nil, ErrEnough
	}
	codec, err := openCodec(int(compression), packed)
	if err != nil {
		return nil, fmt.Errorf("unpack a batch: %w", err)
	}
	defer codec.close()
	unpacked, err := io.ReadAll(io.LimitReader(codec, u.batch+1))
	u.unpacked.Add(int64(len(unpacked)))
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpack a batch: %w", err)
	case int64(len(unpacked)) > u.batch:
		return nil, kgo.ErrMaxDecompress
	}
	return unpacked, nil
}
