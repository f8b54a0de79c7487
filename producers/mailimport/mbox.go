package mailimport

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// maxKept is how many bytes of a message are kept, and maxEncoded how many of a run of lines of base64, which is longer only
// for an attachment. The rest is only hashed.
const (
	maxKept    = 8 << 20
	maxEncoded = 1 << 20
)

// window is how far a reader looks ahead, in bytes. A longer line is read in pieces, and a greater Content-Length is
// ignored.
const window = 1 << 20

// maxSeparator is the greatest length of a separator line, in bytes.
const maxSeparator = 1000

// Place is the position of a message.
type Place struct {
	File   string
	Number int   // of the message in its file, from 1
	Offset int64 // of its first byte, in bytes of the unpacked file
}

// String returns "file: message 3 at byte 1234".
func (p Place) String() string {
	return fmt.Sprintf("%s: message %d at byte %d", p.File, p.Number, p.Offset)
}

// Raw is one message as read from its file.
type Raw struct {
	Place
	Envelope string // the rest of the "From " line in an mbox: sender and time of delivery; otherwise empty
	Fragment bool   // the text before the first separator of an mbox whose beginning is missing
	// Bytes is the message without mbox quoting, with LF line endings and without trailing empty lines, up to the first
	// 8 MiB, of which each file in base64 takes one at most. It is valid until the next message is read.
	Bytes []byte
	Cut   bool              // the end of the message is missing in Bytes
	Hash  [sha256.Size]byte // as contentHash has it, of the whole message

	left []leftOut // of files in base64, in their order
}

// leftOut is where lines of base64 are missing in Bytes.
type leftOut struct {
	at     int // index in Bytes
	digits int64
}

// ErrNoMail means that a file is neither an mbox nor a single message.
var ErrNoMail = errors.New("it is neither an mbox nor a message")

// Reader splits a stream into messages. It is not safe for concurrent use. It ignores errors while looking ahead: they are
// returned when those bytes are read, after the messages before them.
type Reader struct {
	in      *bufio.Reader
	from    io.Reader // what in reads
	file    string
	started bool
	single  bool // the stream is one message
	ended   bool
	offset  int64
	next    Raw // place and envelope of the next message

	kept    []byte
	cut     bool
	left    []leftOut
	encoded int // bytes of the run of lines of base64 that goes on
	hash    *contentHash
	blanks  int // pending empty lines: trailing ones belong to no message
}

// NewReader returns a reader of the messages of in; file is its name in Place. An mbox is recognised by its name or its
// first line; anything else that begins with a header is one message.
func NewReader(in io.Reader, file string) *Reader {
	r := &Reader{in: bufio.NewReaderSize(nil, window), hash: newContentHash()}
	r.reset(in, Place{File: file})
	return r
}

// reset makes the reader read in, and reuses its memory. in begins at the given offset of an mbox, after Number messages;
// zero is the beginning of any file.
func (r *Reader) reset(in io.Reader, from Place) {
	r.in.Reset(in)
	r.from = in
	r.file, r.offset = from.File, from.Offset
	r.started, r.single, r.ended = false, false, false
	r.next = Raw{Place: Place{File: from.File, Number: from.Number}}
}

// resumes reports whether a message begins at the offset given to reset.
func (r *Reader) resumes() (bool, error) {
	r.started = true
	r.convert()
	return r.separator(true)
}

// position returns the place of the next message, with the number of messages before it as Number. It returns false at the
// end, and if the stream is not an mbox.
func (r *Reader) position() (Place, bool) {
	return Place{r.file, r.next.Number - 1, r.next.Offset}, !r.ended && !r.single
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
	r.kept, r.cut, r.left, r.encoded, r.blanks = r.kept[:0], false, r.left[:0], 0, 0
	r.hash.reset()
	if err := r.message(); err != nil {
		r.ended = true
		return nil, fmt.Errorf("read %s: %w", raw.Place, err)
	}
	if raw.Fragment && r.ended {
		return nil, fmt.Errorf("read %s: %w", r.file, ErrNoMail)
	}
	raw.Bytes, raw.Cut, raw.left, raw.Hash = r.kept, r.cut, r.left, r.hash.sum()
	return &raw, nil
}

// convert makes carriage returns line ends, if the stream has them alone, as on old Macs.
func (r *Reader) convert() {
	for n := 1; n <= maxHeader; n = r.in.Buffered() + 1 {
		_, err := r.in.Peek(n)
		head, _ := r.in.Peek(min(r.in.Buffered(), maxHeader))
		switch {
		case bytes.IndexByte(head, '\n') >= 0:
			return
		case err == nil && len(head) < maxHeader:
			continue
		case bytes.IndexByte(head, '\r') >= 0:
			all, _ := r.in.Peek(r.in.Buffered())
			r.in.Reset(returns{io.MultiReader(bytes.NewReader(bytes.Clone(all)), r.from)})
		}
		return
	}
}

// returns reads carriage returns as line ends.
type returns struct{ in io.Reader }

func (r returns) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	for i, b := range p[:n] {
		if b == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// start skips a byte order mark and leading empty lines, and detects the format.
func (r *Reader) start() error {
	r.convert()
	if mark, _ := r.in.Peek(3); string(mark) == "\xef\xbb\xbf" {
		r.discard(3)
	}
	for {
		first, err := r.in.Peek(1)
		if err != nil {
			return err
		}
		if first[0] != '\n' && first[0] != '\r' {
			break
		}
		r.discard(1)
	}
	if isSeparator, err := r.separator(true); isSeparator || err != nil {
		return err
	}
	head, _ := r.in.Peek(maxSeparator)
	mbox := strings.HasSuffix(strings.TrimSuffix(strings.ToLower(r.file), ".gz"), ".mbox")
	r.single = isHeader(head) && !mbox
	r.next = Raw{Place: Place{r.file, r.next.Number + 1, r.offset}, Fragment: !isHeader(head)}
	return nil
}

// discard skips bytes that were peeked at.
func (r *Reader) discard(n int) {
	_, _ = r.in.Discard(n)
	r.offset += int64(n)
}

// message collects a message and stops after the separator that follows it, or at the end.
func (r *Reader) message() error {
	header := header{length: -1}
	var body literal
	lineStart, afterBlank := true, true
	for {
		if lineStart && !r.single && r.offset >= body.end {
			if next, err := r.separator(afterBlank); next || err != nil {
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
		if lineStart && !r.single && !body.verbatim && isQuotedFrom(line) {
			line = line[1:]
		}
		afterBlank = lineStart && string(line) == "\n"
		bodyFollows := header.add(line, lineStart)
		r.add(line, lineStart)
		lineStart = line[len(line)-1] == '\n'
		if bodyFollows && !r.single {
			body = r.literal(header.length) // looks ahead, which invalidates line
		}
	}
}

// header scans the header of a message for its Content-Length.
type header struct {
	length int // -1 if there is none
	ended  bool
}

// add processes a line and reports whether it ended the header.
func (h *header) add(line []byte, lineStart bool) bool {
	if h.ended || !lineStart {
		return false
	}
	const name = "content-length:"
	if len(line) > len(name) && strings.EqualFold(string(line[:len(name)]), name) {
		if n, err := strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err == nil && n >= 0 {
			h.length = n
		}
	}
	h.ended = string(line) == "\n"
	return h.ended
}

// literal is a body whose Content-Length is correct: a separator or the end follows it.
type literal struct {
	end      int64 // offset of the first byte after it; 0 if there is none
	verbatim bool  // not quoted
}

// literal checks whether the body that begins here ends after length bytes. A writer of Content-Length does not quote
// (mboxcl2), or quotes all the same (mboxcl). A line that begins with From shows that it does not.
func (r *Reader) literal(length int) literal {
	if length < 0 || length > window-maxHeader {
		return literal{}
	}
	ahead, _ := r.in.Peek(length + maxHeader)
	if len(ahead) < length {
		return literal{}
	}
	body, rest := ahead[:length], bytes.TrimLeft(ahead[length:], "\r\n")
	if len(rest) > 0 && !separates(rest, true) || len(rest) == 0 && len(ahead) == length+maxHeader {
		return literal{}
	}
	verbatim := bytes.HasPrefix(body, []byte("From ")) || bytes.Contains(body, []byte("\nFrom "))
	return literal{end: r.offset + int64(length), verbatim: verbatim}
}

// separator consumes the next line if it is a separator, and records the message that begins there.
func (r *Reader) separator(afterBlank bool) (bool, error) {
	if start, _ := r.in.Peek(len("From ")); string(start) != "From " {
		return false, nil // also at the end of the stream, which line reports
	}
	head, _ := r.in.Peek(maxHeader)
	if !separates(head, afterBlank) {
		return false, nil
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	r.next = Raw{Place: Place{r.file, r.next.Number + 1, r.offset}, Envelope: string(bytes.TrimSpace(line[len("From "):]))}
	_, err := r.line()
	return true, err
}

// line returns the next line, or piece of a long one, with a single LF at its end. It is valid until the next call.
func (r *Reader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	r.offset += int64(len(line))
	switch {
	case errors.Is(err, bufio.ErrBufferFull) && line[len(line)-1] == '\r':
		r.offset--
		return line[:len(line)-1], r.in.UnreadByte() // it may be part of a line ending
	case errors.Is(err, bufio.ErrBufferFull):
		return line, nil
	case errors.Is(err, io.EOF) && len(line) > 0:
		return append(bytes.TrimRight(bytes.Clone(line), "\r"), '\n'), nil
	case err != nil:
		return nil, err
	}
	text := bytes.TrimRight(line[:len(line)-1], "\r")
	line = line[:len(text)+1]
	line[len(text)] = '\n'
	return line, nil
}

// add appends a line to the message, with the empty lines before it.
func (r *Reader) add(line []byte, lineStart bool) {
	if lineStart && string(line) == "\n" {
		r.blanks++
		return
	}
	for ; r.blanks > 0; r.blanks-- {
		r.hash.add(emptyLine, true)
		r.keep(emptyLine)
	}
	r.hash.add(line, lineStart)
	r.keep(line)
}

var emptyLine = []byte("\n")

func (r *Reader) keep(line []byte) {
	encoded := isBase64Line(line)
	if !encoded {
		r.encoded = 0
	} else if r.encoded += len(line); r.encoded > maxEncoded {
		r.leaveOut(line)
		return
	}
	fits := min(len(line), maxKept-len(r.kept))
	r.kept, r.cut = append(r.kept, line[:fits]...), r.cut || fits < len(line)
	if encoded && fits < len(line) {
		r.leaveOut(line[fits:])
	}
}

// leaveOut notes that the end of a line of base64 is not kept.
func (r *Reader) leaveOut(line []byte) {
	last := len(r.left) - 1
	if last < 0 || r.left[last].at != len(r.kept) {
		r.left = append(r.left, leftOut{at: len(r.kept)})
		last++
	}
	r.left[last].digits += int64(len(bytes.TrimRight(line, "=\n")))
}

// isBase64Line tells whether a line is one of many of encoded bytes.
func isBase64Line(line []byte) bool {
	if len(line) < 40 || len(line) > 1000 || line[len(line)-1] != '\n' {
		return false
	}
	for _, b := range bytes.TrimRight(line, "=\n") {
		if !isBase64(rune(b)) {
			return false
		}
	}
	return true
}

// fromLine matches the usual form of a separator: a sender and a time in the format of asctime, RFC 5322 or ISO 8601. Prose that
// begins with From does not end in such a time.
var fromLine = regexp.MustCompile(`(?i)^From (?:.* )? *(?:` +
	`(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +` + months + ` +\d{1,2},? +\d{1,2}:\d{2}(?::\d{2})?(?: +[a-z0-9+-]{1,6})* +\d{4}(?: +[+-]\d{4})?(?: +remote from .*)?` +
	`|(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*, *)?\d{1,2} +` + months + ` +\d{4} +\d{1,2}:\d{2}(?::\d{2})?(?: +[a-z0-9+-]{1,6})*` +
	`|\d{4}-\d{2}-\d{2}[T ]\d{1,2}:\d{2}(?::\d{2})?[a-z0-9:.+ -]*` +
	`)\s*$`)

const months = `(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*`

// maxHeader is how far behind a line that may be a separator a header is looked at, in bytes.
const maxHeader = 8 << 10

// separates reports whether text begins with a separator of messages: a line that begins with "From ", behind an empty line
// and before the header of a mail. What that line says differs from writer to writer, and a text may have such a line too; but
// prose follows there. Without the empty line, the line must have the usual form as well.
func separates(text []byte, afterBlank bool) bool {
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	if !bytes.HasPrefix(line, []byte("From ")) || len(line) >= maxSeparator {
		return false
	}
	usual := fromLine.Match(line)
	rest = bytes.TrimLeft(rest, "\r") // of line ends that were converted twice
	if usual && afterBlank && len(rest) == 0 {
		return true // a message without anything ends the file
	}
	return (usual || afterBlank) && beginsMail(rest, usual)
}

// mailFields are headers of which nearly every mail has one. Those that begin with X-, List- or Resent- are some, too.
var mailFields = map[string]bool{"from": true, "sender": true, "to": true, "cc": true, "bcc": true, "subject": true, "date": true, "received": true, "message-id": true,
	"return-path": true, "delivered-to": true, "reply-to": true, "mime-version": true, "content-type": true, "status": true, "dkim-signature": true,
	"authentication-results": true}

// beginsMail reports whether text begins with the header of a mail. Behind a separator of the usual form, one header will do,
// or a field of mails among lines that are none, before the next separator of that form.
func beginsMail(text []byte, usual bool) bool {
	switch header := isHeader(text); {
	case usual && header:
		return true
	case !usual && !header:
		return false
	}
	found := false
	for rest := text; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		rest = after
		line = bytes.TrimRight(line, "\r")
		switch {
		case len(line) == 0, usual && len(line) < maxSeparator && fromLine.Match(line):
			return found
		case isMailField(line):
			if found = true; usual {
				return true
			}
		case !usual && ended && !isHeader(line) && line[0] != ' ' && line[0] != '\t':
			return false
		}
	}
	return found
}

// isMailField reports whether a line begins with one of mailFields.
func isMailField(line []byte) bool {
	colon := headerColon(line)
	if colon <= 0 || colon > 40 {
		return false
	}
	name := strings.ToLower(string(bytes.TrimRight(line[:colon], " \t")))
	return mailFields[name] || strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "list-") || strings.HasPrefix(name, "resent-")
}

// isHeader reports whether text begins with a header, or with the quoted separator that some servers put before it. A name that
// begins with a digit is the time of a line of text.
func isHeader(text []byte) bool {
	return headerColon(text) > 0 && (text[0] < '0' || text[0] > '9') || bytes.HasPrefix(text, []byte(">From "))
}

// isQuotedFrom matches a quoted line of mboxrd and mboxo: ">From " with any number of ">".
func isQuotedFrom(line []byte) bool {
	return line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From "))
}
