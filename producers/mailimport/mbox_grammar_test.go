package mailimport

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writtenMbox is an mbox as some program may write it, with the messages in it.
type writtenMbox struct {
	text   string
	want   []string
	quoted []string // the same with the quotes of mbox
	alike  int      // lines of text that begin as a separator does
	plain  bool     // it has no such lines
}

// mboxWriter writes mboxes of messages that it makes up.
type mboxWriter struct{ writer }

// write writes an mbox with separators of one or of many forms.
func (w *mboxWriter) write() writtenMbox {
	box := writtenMbox{plain: w.IntN(3) == 0}
	all := usualSeparators
	if w.IntN(2) == 0 {
		all = slices.Concat(usualSeparators, otherSeparators)
	}
	if w.IntN(3) == 0 {
		all = []string{w.one(all...)}
	}
	ends := w.one("\n", "\n", "\r\n")
	for n := 1 + w.IntN(5); n > 0; n-- {
		separator := w.one(all...)
		text, quoted := w.message(&box)
		box.want, box.quoted = append(box.want, text), append(box.quoted, quoted)
		box.text += strings.TrimRight(separator, "\r") + "\n" + quoted
		if next := w.IntN(4); next > 0 || !slices.Equal(all, usualSeparators) {
			box.text += strings.Repeat("\n", 1+next%2)
		}
	}
	box.text = strings.ReplaceAll(box.text, "\n", ends)
	return box
}

// message writes a message, plain and with the quotes of mbox.
func (w *mboxWriter) message(box *writtenMbox) (text, quoted string) {
	text = w.one("From: Ann Example <ann@example.org>\nTo: me@example.net\n", "Received: from a by b;\n\tThu, 22 Aug 2024 13:17:22 +0200\nFrom: ann@example.org\n",
		"Return-Path: <ann@example.org>\nX-Mailer: x\n", "Subject: Hello\n more\n", "X-Other: 1\nDate: Thu, 22 Aug 2024 13:17:22 +0200\n", "Message-ID: <1@example.org>\n")
	text += "\n"
	quoted = text
	for range w.IntN(6) {
		kind := w.IntN(8)
		if box.plain {
			kind = max(kind, 2)
		}
		switch kind {
		case 0: // behind an empty line, but before a paragraph of text
			line := strings.TrimRight(w.one(slices.Concat(usualSeparators, otherSeparators)...), "\r")
			box.alike++
			line = "\n" + line + "\n" + w.one("is what the log says\n", "and so on: see below\nmore\n", "\nHello,\n", "Subject to change: all of it\n", "12:30 we open\n") + "\n"
			text, quoted = text+line, quoted+line
		case 1: // before what looks like a header, but behind text
			box.alike++
			line := "She wrote\n" + w.one("From nobody", "From -", "From here on I quote:", "From a@b") + "\nFrom: ann@example.org\nSubject: Hello\n\n"
			text, quoted = text+line, quoted+line
		case 2: // quoted, as it has to be
			line := strings.TrimRight(w.one(slices.Concat(usualSeparators, otherSeparators)...), "\r")
			text, quoted = text+"\n"+line+"\nFrom: ann@example.org\n", quoted+"\n>"+line+"\nFrom: ann@example.org\n"
		case 3:
			line := w.one(">From: x\n", "From: ann@example.org\nTo: me@example.net\n", "\nFrom:\n", "from nobody\n", " From nobody\n", "From\n", "\nFromage\n\n", "-- \n")
			text, quoted = text+line, quoted+line
		default:
			line := w.one("Hello,\n", "\n", "some text\n", "Zwölf Boxkämpfer\n", "> quoted\n")
			text, quoted = text+line, quoted+line
		}
	}
	return strings.TrimRight(text, "\n") + "\n", strings.TrimRight(quoted, "\n") + "\n"
}

// writtenMboxes is the corpus of the tests below, the same in each run.
func writtenMboxes() []writtenMbox {
	w := mboxWriter{newWriter(4)}
	return corpus(2000, w.write)
}

// TestMessagesAreThoseThatWereWritten: the writer knows where each begins and what it says.
func TestMessagesAreThoseThatWereWritten(t *testing.T) {
	alike, messages := 0, 0
	reader := NewReader(nil, "f")
	for _, box := range writtenMboxes() {
		reader.reset(strings.NewReader(box.text), Place{File: "f"})
		var got []string
		for {
			raw, err := reader.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%q: %v", box.text, err)
			}
			got = append(got, string(raw.Bytes))
		}
		if diff := cmp.Diff(box.want, got); diff != "" {
			t.Errorf("%q: %s", box.text, diff)
		}
		alike, messages = alike+box.alike, messages+len(box.want)
	}
	if t.Logf("%d messages, %d lines like separators", messages, alike); alike < 1000 || messages < 5000 {
		t.Error("too few")
	}
}

// TestMessagesAreThoseOfPython compares with mailbox.mbox of Python, for which each line that begins with "From " begins a message,
// whatever stands around it, and a quoted one stays quoted.
func TestMessagesAreThoseOfPython(t *testing.T) {
	const program = `
import mailbox, tempfile
file = tempfile.NamedTemporaryFile()
def answer(text):
    with open(file.name, "wb") as out:
        out.write(text.encode("utf-8", "surrogateescape"))
    box = mailbox.mbox(file.name, create=False)
    return [box.get_bytes(key).decode() for key in box.keys()]
`
	boxes := writtenMboxes()
	texts := make([]string, len(boxes))
	for i, box := range boxes {
		texts[i] = box.text
	}
	same, split := 0, 0
	for i, answer := range askPython[[]string](t, program, texts) {
		box := boxes[i]
		for j, text := range answer {
			answer[j] = strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n") + "\n"
		}
		if box.alike > 0 {
			if split++; len(answer) != len(box.want)+box.alike {
				t.Errorf("%q: Python has %d messages, want %d and %d lines like separators", box.text, len(answer), len(box.want), box.alike)
			}
			continue
		}
		same++
		if diff := cmp.Diff(box.quoted, answer); diff != "" {
			t.Errorf("%q (-want +Python): %s", box.text, diff)
		}
	}
	if t.Logf("%d are the same, %d are split at lines of text", same, split); same < 500 || split < 500 {
		t.Error("too few")
	}
}
