package mailimport

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
)

// maxKept bounds what is kept of one message, in bytes: headers and the first parts. The rest, attachments as a
// rule, is only hashed.
const maxKept = 8 << 20

// lineSize is the longest line that is seen whole; of a longer one the pieces are taken one after the other.
const lineSize = 64 << 10

// Place tells where a message is found.
type Place struct {
	File   string
	Number int   // of the message in its file, from 1
	Offset int64 // of its first byte, in bytes of the unpacked file
}

// String returns "file: message 3 at byte 1234".
func (p Place) String() string {
	return fmt.Sprintf("%s: message %d at byte %d", p.File, p.Number, p.Offset)
}

// Raw is one message as it stands in its file.
type Raw struct {
	Place
	Envelope string // what follows "From " in an mbox: the sender and the time of delivery; otherwise empty
	// Bytes is the message without mbox quoting, with LF line ends and without trailing empty lines, at most the
	// first 8 MiB. It is valid until the next message is read.
	Bytes []byte
	Hash  [sha256.Size]byte // of the whole message in that form
}

// errNoMail tells that a file is neither an mbox nor a single message.
var errNoMail = errors.New("the file begins neither like an mbox nor like a message")

// Reader splits a stream into messages. It is not safe for concurrent use.
type Reader struct {
	in      *bufio.Reader
	file    string
	started bool
	single  bool // the stream is one message
	ended   bool
	offset  int64
	next    Raw // place and envelope of the message that follows

	kept   []byte
	sum    hash.Hash
	blanks int // empty lines held back: the last ones belong to no message
}

// NewReader returns a reader of the messages of in, which is named file in places. An mbox is known by its first
// line; anything else that begins with a header is one message.
func NewReader(in io.Reader, file string) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, lineSize), file: file, sum: sha256.New()}
}

// Next returns the next message, or io.EOF after the last.
func (r *Reader) Next() (*Raw, error) {
	if !r.started {
		r.started = true
		if err := r.start(); err != nil {
			r.ended = true
			return nil, err
		}
	}
	if r.ended {
		return nil, io.EOF
	}
	raw := r.next
	r.kept, r.blanks = r.kept[:0], 0
	r.sum.Reset()
	if err := r.body(); err != nil {
		r.ended = true
		return nil, fmt.Errorf("read %s: %w", raw.Place, err)
	}
	raw.Bytes = r.kept
	r.sum.Sum(raw.Hash[:0])
	return &raw, nil
}

// start skips leading empty lines and finds out what the stream is.
func (r *Reader) start() error {
	for {
		first, err := r.in.Peek(1)
		if err != nil {
			return err
		}
		if first[0] != '\n' && first[0] != '\r' {
			break
		}
		_, _ = r.in.Discard(1) // just peeked at
		r.offset++
	}
	head, err := r.in.Peek(lineSize / 2)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	switch {
	case isSeparator(line):
		_, err := r.message()
		return err
	case isHeader(line):
		r.single = true
		r.next = Raw{Place: Place{r.file, 1, r.offset}}
		return nil
	}
	return fmt.Errorf("read %s: %w", r.file, errNoMail)
}

// body collects a message and stops after the separator that follows it, or at the end.
func (r *Reader) body() error {
	lineStart, afterBlank := true, false
	for {
		if lineStart && afterBlank && !r.single {
			if next, err := r.message(); next || err != nil {
				return err
			}
		}
		line, err := r.line()
		if errors.Is(err, io.EOF) {
			r.ended = true
			return nil
		}
		if err != nil {
			return err
		}
		if lineStart && !r.single && isQuotedFrom(line) {
			line = line[1:]
		}
		afterBlank = lineStart && string(line) == "\n"
		lineStart = line[len(line)-1] == '\n'
		r.add(line)
	}
}

// message takes the next line if it is a separator, and notes the message that begins there.
func (r *Reader) message() (bool, error) {
	if start, _ := r.in.Peek(len("From ")); string(start) != "From " {
		return false, nil // also at the end of the stream, which line reports
	}
	head, err := r.in.Peek(min(lineSize, max(r.in.Buffered(), 1000)))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	if !isSeparator(line) {
		return false, nil
	}
	r.next = Raw{Place: Place{r.file, r.next.Number + 1, r.offset}, Envelope: string(bytes.TrimSpace(line[len("From "):]))}
	_, err = r.line()
	return true, err
}

// line returns the next line, or piece of a long one, with a single LF at its end. It is valid until the next call.
func (r *Reader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	r.offset += int64(len(line))
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return line, nil
	case errors.Is(err, io.EOF) && len(line) > 0:
		return append(bytes.Clone(bytes.TrimSuffix(line, []byte("\r"))), '\n'), nil
	case err != nil:
		return nil, err
	}
	if n := len(line); n > 1 && line[n-2] == '\r' {
		line[n-2] = '\n'
		line = line[:n-1]
	}
	return line, nil
}

// add appends a line to the message, with the empty lines before it.
func (r *Reader) add(line []byte) {
	if string(line) == "\n" {
		r.blanks++
		return
	}
	for ; r.blanks > 0; r.blanks-- {
		r.keep([]byte("\n"))
	}
	r.keep(line)
}

func (r *Reader) keep(line []byte) {
	r.sum.Write(line)
	r.kept = append(r.kept, line[:min(len(line), maxKept-len(r.kept))]...)
}

// separator is an mbox "From " line: a sender and a time. A line of prose that begins with From has no such time.
var separator = regexp.MustCompile(`^From .*\b\d{1,2}:\d{2}(?::\d{2})?\b.*\b\d{4}\s*$`)

func isSeparator(line []byte) bool {
	return bytes.HasPrefix(line, []byte("From ")) && len(line) < 1000 && separator.Match(line)
}

var header = regexp.MustCompile(`^[!-9;-~]+[ \t]*:`)

func isHeader(line []byte) bool { return header.Match(line) }

// isQuotedFrom tells a line of the mboxrd and mboxo forms: ">From " with any number of ">".
func isQuotedFrom(line []byte) bool {
	return line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From "))
}
