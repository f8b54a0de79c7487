package kafkalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// codec unpacks one batch.
type codec interface {
	io.Reader
	close() // gives its memory back to be used again
}

// The compressions of a batch, by their number in its attributes.
const (
	compressionGzip   = 1
	compressionSnappy = 2
	compressionLZ4    = 3
	compressionZstd   = 4
)

// maxZstdWindow bounds what a zstd frame may make its reader remember, in bytes. Producers' libraries stay at 8 MiB
// except on their slowest levels.
const maxZstdWindow = 32 << 20

// openCodec returns what unpacks a batch.
func openCodec(compression int, packed []byte) (codec, error) {
	switch compression {
	case compressionGzip:
		g := gzips.Get().(*gzipCodec)
		return g, g.open(packed)
	case compressionSnappy:
		s := snappies.Get().(*snappyCodec)
		s.open(packed)
		return s, nil
	case compressionLZ4:
		l := lz4s.Get().(*lz4Codec)
		l.open(packed)
		return l, nil
	case compressionZstd:
		z := zstds.Get().(*zstdCodec)
		return z, z.open(packed)
	}
	return nil, fmt.Errorf("unknown compression %d", compression)
}

var (
	gzips    = sync.Pool{New: func() any { return new(gzipCodec) }}
	snappies = sync.Pool{New: func() any { return new(snappyCodec) }}
	lz4s     = sync.Pool{New: func() any { return &lz4Codec{reader: lz4.NewReader(nil)} }}
	zstds    = sync.Pool{New: func() any { return new(zstdCodec) }}
)

type gzipCodec struct {
	packed bytes.Reader
	reader gzip.Reader
}

func (g *gzipCodec) open(packed []byte) error {
	g.packed.Reset(packed)
	return g.reader.Reset(&g.packed)
}

func (g *gzipCodec) Read(p []byte) (int, error) { return g.reader.Read(p) }
func (g *gzipCodec) close()                     { g.packed.Reset(nil); gzips.Put(g) }

type lz4Codec struct {
	packed bytes.Reader
	reader *lz4.Reader
}

func (l *lz4Codec) open(packed []byte) {
	l.packed.Reset(packed)
	l.reader.Reset(&l.packed)
}

func (l *lz4Codec) Read(p []byte) (int, error) { return l.reader.Read(p) }
func (l *lz4Codec) close()                     { l.packed.Reset(nil); lz4s.Put(l) }

type zstdCodec struct {
	packed bytes.Reader
	reader *zstd.Decoder
}

func (z *zstdCodec) open(packed []byte) (err error) {
	z.packed.Reset(packed)
	if z.reader == nil {
		z.reader, err = zstd.NewReader(&z.packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		return err
	}
	return z.reader.Reset(&z.packed)
}

func (z *zstdCodec) Read(p []byte) (int, error) { return z.reader.Read(p) }
func (z *zstdCodec) close()                     { z.packed.Reset(nil); zstds.Put(z) }

// snappyCodec reads both forms that producers write: one block, or the framed form of Java's library: a magic and two
// version numbers, then blocks behind their lengths.
type snappyCodec struct {
	packed []byte
	framed bool
	block  []byte // unpacked
	rest   []byte // of block
}

var snappyMagic = []byte("\x82SNAPPY\x00")

const snappyFrameHeader = 16

var errSnappy = errors.New("snappy: the block is damaged")

func (s *snappyCodec) open(packed []byte) {
	s.packed, s.rest, s.framed = packed, nil, len(packed) >= snappyFrameHeader && bytes.HasPrefix(packed, snappyMagic)
	if s.framed {
		s.packed = packed[snappyFrameHeader:]
	}
}

// all unpacks the batch whole, when it is a single block.
func (s *snappyCodec) all() ([]byte, error) {
	err := s.unpack()
	all := s.rest
	s.rest = nil
	return all, err
}

func (s *snappyCodec) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if len(s.packed) == 0 {
			return 0, io.EOF
		}
		if err := s.unpack(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// unpack unpacks the next block. A block cannot unpack to more than 22 times its length, whatever length it claims.
func (s *snappyCodec) unpack() error {
	packed := s.packed
	s.packed = nil
	if s.framed {
		if len(packed) < 4 {
			return errSnappy
		}
		length := binary.BigEndian.Uint32(packed)
		if uint64(length) > uint64(len(packed)-4) {
			return errSnappy
		}
		packed, s.packed = packed[4:4+length], packed[4+length:]
	}
	length, err := s2.DecodedLen(packed)
	if err != nil || length > 22*len(packed)+64 {
		return errSnappy
	}
	if cap(s.block) < length {
		s.block = make([]byte, length)
	}
	s.block = s.block[:cap(s.block)]
	s.rest, err = s2.Decode(s.block, packed)
	return err
}

func (s *snappyCodec) close() {
	s.packed, s.rest = nil, nil
	if cap(s.block) > largeBuffer {
		s.block = nil
	}
	snappies.Put(s)
}
