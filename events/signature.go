package events

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strconv"
)

// KeySize is the number of bytes of a key that signs records.
const KeySize = 32

// macSize is how many bytes of the HMAC a record carries: 128 bits, the least that NIST SP 800-107 advises for keys that are
// used for long.
const macSize = 16

// Signature proves that the deployment's relay published a record as it is. It covers the topic without prefix, the
// partition, the key, the value and every header that Head reads, in their order.
type Signature struct {
	Key int // the number of the key that made it; 0 if the record has none
	MAC [macSize]byte
}

// SignatureOf reads the signature of a record. A missing or malformed one is the zero Signature, which no key makes.
func SignatureOf(headers []Header) Signature {
	for i := range headers {
		if headers[i].Key == HeaderRelaySignature {
			return parseSignature(headers[i].Value)
		}
	}
	return Signature{}
}

// parseSignature reads "key:mac", the key's number in decimal and the MAC in hexadecimal digits.
func parseSignature(text []byte) (s Signature) {
	at := len(text) - 2*macSize - 1
	if at < 1 || at > 9 || text[at] != ':' {
		return Signature{}
	}
	key, ok := parsePositive(text[:at])
	if _, err := hex.Decode(s.MAC[:], text[at+1:]); err != nil || !ok {
		return Signature{}
	}
	s.Key = int(key)
	return s
}

// Header returns the header that carries the signature.
func (s Signature) Header() Header {
	text := append(strconv.AppendInt(make([]byte, 0, 2*macSize+10), int64(s.Key), 10), ':')
	return Header{HeaderRelaySignature, hex.AppendEncode(text, s.MAC[:])}
}

// Signer makes and checks the signatures of one key. It is for use by one goroutine.
type Signer struct {
	number int
	mac    hash.Hash
	buffer []byte
	sum    []byte
}

// NewSigner returns a Signer of the key with that number, 1 or more. The key has KeySize random bytes.
func NewSigner(number int, key []byte) *Signer {
	return &Signer{number: number, mac: hmac.New(sha256.New, key), sum: make([]byte, 0, sha256.Size)}
}

// Sign returns the signature of a record that goes to a partition of a topic, named without prefix.
func (s *Signer) Sign(topic string, partition int, key, value []byte, headers []Header) Signature {
	signature := Signature{Key: s.number}
	copy(signature.MAC[:], s.compute(topic, partition, key, value, headers))
	return signature
}

// Verify tells whether the record with that signature is as it was signed, and stands in the partition it was signed for.
func (s *Signer) Verify(signature Signature, topic string, partition int, key, value []byte, headers []Header) bool {
	return signature.Key == s.number &&
		subtle.ConstantTimeCompare(signature.MAC[:], s.compute(topic, partition, key, value, headers)) == 1
}

// compute returns the HMAC of all that is signed, each part behind its length, so that no two records have the same bytes.
func (s *Signer) compute(topic string, partition int, key, value []byte, headers []Header) []byte {
	b := append(s.buffer[:0], "applylens record 1\n"...)
	b = appendPart(b, topic)
	b = binary.BigEndian.AppendUint32(b, uint32(partition))
	b = appendPart(b, key)
	for i := range headers {
		if at := headerAt(headers[i].Key); at < headerCount {
			b = append(b, byte(at))
			b = appendPart(b, headers[i].Value)
		}
	}
	if Structured(headers) {
		b = append(b, structuredMark)
	}
	b = binary.BigEndian.AppendUint64(append(b, byte(headerCount)), uint64(len(value)))
	s.buffer = b
	s.mac.Reset()
	s.mac.Write(b)
	s.mac.Write(value)
	return s.mac.Sum(s.sum)[:macSize]
}

// structuredMark is among what is signed of a record in the structured mode, so that no other can be made to look like one.
const structuredMark = 0xff

func appendPart[T string | []byte](b []byte, part T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
}
