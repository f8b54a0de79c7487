package mailimport

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"
)

// hashed are the headers that tell one message from another and that no server changes on the way, and the one that the first server
// wrote, which counts for a message without a date: of alarms with the same text, each is one.
var hashed = [...]string{"from", "date", "subject", "received"}

const (
	hashedDate     = 1
	hashedReceived = 3
)

// contentHash computes what tells a message from others, line by line: SHA-256 over the raw values of the first From, Date and
// Subject, each behind its length, and the SHA-256 of the raw body. A message without Date has the value of the last
// Received, too. A field that is folded otherwise is the same, and so is a line that an mbox quotes ("From ", ">From ");
// all other headers are left out, since every server and archive adds some. It follows bytes alone and knows no character
// sets and no parts, so that reading mail better changes no hash.
type contentHash struct {
	fields  [len(hashed)][]byte
	seen    [len(hashed)]bool
	current int // the field that continuation lines belong to; notHashed or noField if none does
	body    hash.Hash
	inBody  bool
}

// The values of current besides indices of hashed.
const (
	notHashed = -1 // a field that is not hashed
	noField   = -2 // a line that is no field, though no empty line came before
)

func newContentHash() *contentHash { return &contentHash{body: sha256.New()} }

func (h *contentHash) reset() {
	for i := range h.fields {
		h.fields[i], h.seen[i] = h.fields[i][:0], false
	}
	h.current, h.inBody = notHashed, false
	h.body.Reset()
}

// add takes the next line, or piece of one, with LF at the end of lines.
func (h *contentHash) add(line []byte, lineStart bool) {
	switch {
	case !h.inBody && lineStart && string(line) == "\n":
		h.inBody = true
	case h.inBody || h.current == noField && !lineStart:
		h.addBody(line, lineStart)
	case !lineStart:
		h.addField(line)
	case line[0] == ' ' || line[0] == '\t':
		if h.current == noField {
			h.addBody(line, lineStart)
			return
		}
		h.addField([]byte{' '})
		h.addField(bytes.TrimLeft(line, " \t"))
	default:
		h.begin(line)
	}
}

// begin takes a line of the header that continues none.
func (h *contentHash) begin(line []byte) {
	colon := headerColon(line)
	if colon < 0 {
		if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			h.current = notHashed // of a mailbox that was put into another
			return
		}
		h.current = noField // text, if the empty line was forgotten
		h.addBody(line, true)
		return
	}
	h.current = notHashed
	name := strings.ToLower(string(bytes.TrimRight(line[:colon], " \t")))
	for i, one := range hashed {
		if name == one && (!h.seen[i] || i == hashedReceived) {
			h.current, h.seen[i], h.fields[i] = i, true, h.fields[i][:0]
			h.addField(bytes.TrimLeft(line[colon+1:], " \t"))
		}
	}
}

func (h *contentHash) addField(text []byte) {
	if h.current < 0 {
		return
	}
	value := bytes.TrimRight(h.fields[h.current], "\n")
	h.fields[h.current] = append(value, text[:min(len(text), max(maxValue-len(value), 0))]...)
}

func (h *contentHash) addBody(line []byte, lineStart bool) {
	if lineStart && isQuotedFrom(line) {
		line = bytes.TrimLeft(line, ">")
	}
	h.body.Write(line)
}

// sum returns the hash of what was added.
func (h *contentHash) sum() (sum [sha256.Size]byte) {
	text := []byte("applylens mail 1\n")
	for i, value := range h.fields {
		if i == hashedReceived && (h.seen[hashedDate] || !h.seen[i]) {
			continue
		}
		value = bytes.TrimRight(value, " \t\n")
		text = append(binary.BigEndian.AppendUint32(text, uint32(len(value))), value...)
	}
	return sha256.Sum256(h.body.Sum(text))
}
