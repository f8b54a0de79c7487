package kafkalog

import "encoding/binary"

// wire reads the protocol's primitive types; after the end it returns zeros and ok says no.
type wire struct {
	b      []byte
	failed bool
}

func (r *wire) ok() bool { return !r.failed }

// bytes returns the next n bytes; nil for a negative n, which stands for null.
func (r *wire) bytes(n int) []byte {
	if n < 0 {
		return nil
	}
	if n > len(r.b) {
		r.b, r.failed = nil, true
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *wire) skip(n int) { r.bytes(n) }

func (r *wire) int8() int8 {
	if b := r.bytes(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (r *wire) int16() int16 {
	if b := r.bytes(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *wire) int32() int32 {
	if b := r.bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *wire) int64() int64 {
	if b := r.bytes(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// varint reads a zig-zag varint of up to 64 bits.
func (r *wire) varint() int64 {
	value, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.failed = nil, true
		return 0
	}
	r.b = r.b[n:]
	return value
}
