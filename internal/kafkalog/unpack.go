package kafkalog

import (
	"errors"
	"fmt"
	"io"
)

// ErrTooLarge tells that a batch unpacks to more than it may.
var ErrTooLarge = errors.New("the batch unpacks to more than it may")

// Unpack unpacks the records of a batch, whose attributes name the compression, to at most so many bytes, for a client that
// needs them whole.
func Unpack(compression int, packed []byte, most int) ([]byte, error) {
	codec, err := openCodec(compression, packed)
	if err != nil {
		return nil, fmt.Errorf("unpack a batch: %w", err)
	}
	defer codec.close()
	unpacked, err := io.ReadAll(io.LimitReader(codec, int64(most)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpack a batch: %w", err)
	case len(unpacked) > most:
		return nil, ErrTooLarge
	}
	return unpacked, nil
}
