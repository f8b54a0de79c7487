// Package secrets seals what people give us to act for them, such as the passwords of their mailboxes, so that a copy of the database is
// worth nothing without the key, which is kept elsewhere.
//
// A sealed secret is bound to what it belongs to: moved to another row, or to another person, it cannot be opened. The
// package stores nothing.
package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// The form of a sealed secret: a version, the id of its key, a nonce, and what AES-256-GCM made.
const (
	version   = 1
	idBytes   = 8
	keyBytes  = 32
	prefixLen = 1 + idBytes
)

// ErrNoKey tells that the key which a secret was sealed with is not among the keys.
var ErrNoKey = errors.New("it was sealed with a key that is not in the key file: add that key as another line")

// ErrMoved tells that a sealed secret was changed, or belongs to another account or person.
var ErrMoved = errors.New("it was changed, or moved from another account: give the secret anew")

// Secret is a text that shows itself to nobody but who calls Reveal.
type Secret struct{ text string }

// New returns a secret.
func New(text string) Secret { return Secret{text} }

// Reveal returns the text.
func (s Secret) Reveal() string { return s.text }

// Empty tells whether there is none.
func (s Secret) Empty() bool { return s.text == "" }

const hidden = "***"

// String implements fmt.Stringer.
func (s Secret) String() string { return hidden }

// Format implements fmt.Formatter, for every verb.
func (s Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, hidden) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText keeps it out of JSON and of other encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Keys are the keys of a deployment. They are safe for concurrent use.
type Keys struct{ list []key }

type key struct {
	id   [idBytes]byte
	aead cipher.AEAD
}

// Generate returns a new key, as a key file has it.
func Generate() string {
	var random [keyBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	return base64.StdEncoding.EncodeToString(random[:])
}

// Parse reads keys, each 32 bytes in base64 on a line of its own. The first one seals; all of them open. Empty lines and lines
// that begin with # are passed over.
func Parse(text string) (*Keys, error) {
	keys := &Keys{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != keyBytes {
			return nil, fmt.Errorf("line %d is not a key: 32 random bytes in base64, as \"openssl rand -base64 32\" prints them", i+1)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append([]byte("applylens secrets key\n"), raw...))
		keys.list = append(keys.list, key{[idBytes]byte(sum[:idBytes]), aead})
	}
	if len(keys.list) == 0 {
		return nil, errors.New("there is no key")
	}
	return keys, nil
}

// Seal seals a secret with the first key, and binds it to what it belongs to.
func (k *Keys) Seal(secret Secret, owner ...string) []byte {
	first := &k.list[0]
	sealed := append([]byte{version}, first.id[:]...)
	nonce := make([]byte, first.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	sealed = append(sealed, nonce...)
	return first.aead.Seal(sealed, nonce, []byte(secret.text), bound(sealed[:prefixLen], owner))
}

// Open opens a sealed secret that belongs to owner. The error is ErrNoKey or ErrMoved.
func (k *Keys) Open(sealed []byte, owner ...string) (Secret, error) {
	if len(sealed) < prefixLen || sealed[0] != version {
		return Secret{}, ErrMoved
	}
	for i := range k.list {
		one := &k.list[i]
		if string(one.id[:]) != string(sealed[1:prefixLen]) {
			continue
		}
		size := one.aead.NonceSize()
		if len(sealed) < prefixLen+size {
			return Secret{}, ErrMoved
		}
		text, err := one.aead.Open(nil, sealed[prefixLen:prefixLen+size], sealed[prefixLen+size:], bound(sealed[:prefixLen], owner))
		if err != nil {
			return Secret{}, ErrMoved
		}
		return Secret{string(text)}, nil
	}
	return Secret{}, ErrNoKey
}

// Current tells whether a sealed secret was sealed with the first key. Others are to be sealed anew.
func (k *Keys) Current(sealed []byte) bool {
	return len(sealed) >= prefixLen && string(sealed[1:prefixLen]) == string(k.list[0].id[:])
}

// bound is the associated data: the prefix and the owner's parts, each behind its length.
func bound(prefix []byte, owner []string) []byte {
	data := append([]byte(nil), prefix...)
	for _, part := range owner {
		data = binary.BigEndian.AppendUint32(data, uint32(len(part)))
		data = append(data, part...)
	}
	return data
}
