package recordcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/applylens/applylens/events"
)

// MaxDocument is how long a document may be: a value of events.MaxValue bytes whose characters are all escaped, with headers.
const MaxDocument = 8 << 20

// maxLevels leaves room for what is around a value.
const maxLevels = events.MaxDepth + 8

// readSize is how much is read at once.
const readSize = 64 << 10

var (
	errLong = fmt.Errorf("no end within %d bytes", MaxDocument)
	errDeep = fmt.Errorf("more than %d levels", maxLevels)
)

// place is where something is in a file. Line and column count from 1, the column in bytes.
type place struct{ line, column int }

// after returns the place behind a text that begins here.
func (p place) after(text []byte) place {
	if last := bytes.LastIndexByte(text, '\n'); last >= 0 {
		p.line += bytes.Count(text, []byte("\n"))
		return place{p.line, len(text) - last}
	}
	return place{p.line, p.column + len(text)}
}

// document is a JSON value of a file, or text that is none.
type document struct {
	text  []byte // valid until the next call of next; nil for a broken one
	place place
	fault error // why it is no JSON
	at    place // of the fault
}

// documents splits a stream into documents.
type documents struct {
	in    io.Reader
	held  []byte // what was read and belongs to the current document or what follows
	place place  // of the first byte held
	used  int    // how much of held the current document has
	err   error  // of in; io.EOF at its end
	rest  int    // the column from which on lines belong to a broken document before; 0: none do
}

func newDocuments(in io.Reader) *documents { return &documents{in: in, place: place{1, 1}} }

// next returns the next document. Its error is io.EOF or that of the reader.
func (d *documents) next() (document, error) {
	d.pass(d.used)
	d.used = 0
	if err := d.findStart(); err != nil {
		return document{}, err
	}
	doc := document{place: d.place}
	reader := &levelReader{documents: d}
	decoder := json.NewDecoder(reader)
	var value json.RawMessage
	err := decoder.Decode(&value)
	if err == nil {
		d.used = int(decoder.InputOffset())
		doc.text = d.held[:d.used]
		return doc, nil
	}
	if d.err != nil && !errors.Is(d.err, io.EOF) {
		return document{}, d.err
	}
	doc.fault, doc.at = err, d.place.after(d.held[:reader.faultAt(err)])
	d.passBroken(doc.place, doc.at)
	return doc, nil
}

// findStart passes over white space, and what remains of a broken document.
func (d *documents) findStart() error {
	for {
		blank := len(d.held) - len(bytes.TrimLeft(d.held, " \t\r\n"))
		d.pass(blank)
		switch {
		case len(d.held) == 0:
			if !d.fill() {
				return d.err
			}
		case d.rest > 0 && (d.place.column > d.rest || d.held[0] == '}' || d.held[0] == ']'):
			d.passLine()
		default:
			d.rest = 0
			return nil
		}
	}
}

// pass gives bytes up.
func (d *documents) pass(count int) {
	d.place = d.place.after(d.held[:count])
	d.held = d.held[count:]
}

// passLine gives up the line at which held begins, with its end.
func (d *documents) passLine() {
	for {
		if end := bytes.IndexByte(d.held, '\n'); end >= 0 {
			d.pass(end + 1)
			return
		}
		d.pass(len(d.held))
		if !d.fill() {
			return
		}
	}
}

// passBroken gives up the line in which a broken document begins. If the fault is in a later one, the document was meant to have
// several lines: those that are indented more than the first, or close a bracket, are passed over with it.
func (d *documents) passBroken(begin, fault place) {
	d.passLine()
	if fault.line > begin.line {
		d.rest = begin.column
	}
}

// fill reads more. It returns false at the end of the stream.
func (d *documents) fill() bool {
	if d.err != nil {
		return false
	}
	held := make([]byte, len(d.held), len(d.held)+max(readSize, len(d.held)))
	copy(held, d.held)
	var n int
	n, d.err = d.in.Read(held[len(held):cap(held)])
	d.held = held[:len(held)+n]
	return n > 0 || d.err == nil
}

// levelReader reads what documents hold, and more, up to where a document is too long or has too many levels.
type levelReader struct {
	*documents
	at      int // in held
	levels  int
	quoted  bool
	escaped bool
}

// Read implements io.Reader.
func (r *levelReader) Read(buffer []byte) (int, error) {
	for r.at == len(r.held) {
		if r.at >= MaxDocument {
			return 0, errLong
		}
		if !r.fill() {
			return 0, r.err
		}
	}
	n := 0
	for n < len(buffer) && r.at < len(r.held) {
		if !r.step(r.held[r.at]) {
			break
		}
		buffer[n] = r.held[r.at]
		r.at++
		n++
	}
	if n == 0 {
		return 0, errDeep
	}
	return n, nil
}

// step follows the levels of arrays and objects. It returns false for a byte that opens one too many.
func (r *levelReader) step(c byte) bool {
	switch {
	case r.escaped:
		r.escaped = false
	case r.quoted:
		r.quoted, r.escaped = c != '"', c == '\\'
	case c == '"':
		r.quoted = true
	case c == '{' || c == '[':
		if r.levels == maxLevels {
			return false
		}
		r.levels++
	case c == '}' || c == ']':
		r.levels = max(0, r.levels-1)
	}
	return true
}

// faultAt returns how many bytes are before the fault of a document.
func (r *levelReader) faultAt(err error) int {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return min(max(0, int(syntax.Offset)-1), len(r.held))
	}
	return r.at
}
