package events

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"
)

// UUID is an RFC 9562 identifier.
type UUID [16]byte

// ErrUUID means that a text is not a UUID in the canonical 36-character form.
var ErrUUID = errors.New("not a UUID")

// namespace is the UUIDv5 namespace of all identifiers that this package derives.
var namespace = UUID{0x5e, 0x0a, 0x6f, 0x2c, 0x7d, 0x13, 0x4b, 0x0e, 0x9c, 0x55, 0x61, 0x70, 0x70, 0x6c, 0x79, 0x6c}

// ParseUUID reads the canonical form; upper-case digits are accepted.
func ParseUUID[T string | []byte](text T) (UUID, error) {
	var u UUID
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return u, ErrUUID
	}
	at := 0
	for i := range u {
		if at == 8 || at == 13 || at == 18 || at == 23 {
			at++
		}
		high, low := hexDigit(text[at]), hexDigit(text[at+1])
		if high > 15 || low > 15 {
			return UUID{}, ErrUUID
		}
		u[i] = high<<4 | low
		at += 2
	}
	return u, nil
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// AppendText appends the canonical lower-case form to b.
func (u UUID) AppendText(b []byte) ([]byte, error) {
	b = hex.AppendEncode(b, u[:4])
	b = hex.AppendEncode(append(b, '-'), u[4:6])
	b = hex.AppendEncode(append(b, '-'), u[6:8])
	b = hex.AppendEncode(append(b, '-'), u[8:10])
	return hex.AppendEncode(append(b, '-'), u[10:]), nil
}

// String returns the canonical lower-case form.
func (u UUID) String() string {
	b, _ := u.AppendText(make([]byte, 0, 36))
	return string(b)
}

// IsZero reports whether u is the nil UUID, which no event carries.
func (u UUID) IsZero() bool { return u == UUID{} }

// NewUUIDv7 returns a UUIDv7 (RFC 9562, section 5.7) for the time now, with 74 random bits.
func NewUUIDv7(now time.Time) UUID {
	var u UUID
	_, _ = rand.Read(u[:]) // crypto/rand never returns an error; it crashes the program instead
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(u[:6], ms[2:])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u
}

// DeriveUUID returns the UUIDv5 (RFC 9562, section 5.5) of parts in the namespace of this package. The length of each part
// precedes it, so that different lists of parts have different names.
func DeriveUUID(parts ...string) UUID {
	var room [1024]byte
	name := append(room[:0], namespace[:]...)
	for _, part := range parts {
		name = binary.BigEndian.AppendUint32(name, uint32(len(part)))
		name = append(name, part...)
	}
	sum := sha1.Sum(name)
	u := UUID(sum[:16])
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}
