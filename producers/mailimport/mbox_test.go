package mailimport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const from = "From a@b.example  Thu Aug 22 12:36:23 2002\n"

type found struct {
	Place    string
	Envelope string
	Body     string
}

func readAll(t *testing.T, in io.Reader) ([]found, error) {
	t.Helper()
	reader := NewReader(in, "f")
	var all []found
	for {
		raw, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, found{fmt.Sprintf("%d@%d", raw.Number, raw.Offset), raw.Envelope, string(raw.Bytes)})
	}
}

func TestReader(t *testing.T) {
	envelope := strings.TrimSpace(from[len("From "):])
	f := func(name, input string, want ...found) {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(t, iotest.OneByteReader(strings.NewReader(input)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	f("empty", "")
	f("only empty lines", "\n\r\n")
	f("two messages", from+"A: 1\n\nx\n\n"+from+"B: 2\n\ny\n",
		found{"1@0", envelope, "A: 1\n\nx\n"}, found{"2@52", envelope, "B: 2\n\ny\n"})
	f("leading empty lines", "\n\n"+from+"A: 1\n", found{"1@2", envelope, "A: 1\n"})
	f("CRLF", strings.ReplaceAll(from+"A: 1\n\nx\n\n"+from+"B: 2\n", "\n", "\r\n"),
		found{"1@0", envelope, "A: 1\n\nx\n"}, found{"2@57", envelope, "B: 2\n"})
	f("quoted From", from+"A: 1\n\n>From me\n>>From you\n> From x\n",
		found{"1@0", envelope, "A: 1\n\nFrom me\n>From you\n> From x\n"})
	f("prose that begins with From", from+"A: 1\n\nFrom here on\n\nFrom now to 2002\n",
		found{"1@0", envelope, "A: 1\n\nFrom here on\n\nFrom now to 2002\n"})
	f("separator without an empty line before it", from+"A: 1\n\nx\n"+from+"B: 2\n",
		found{"1@0", envelope, "A: 1\n\nx\n"}, found{"2@51", envelope, "B: 2\n"})
	f("separator without an empty line before it or a header after it is text", from+"A: 1\n\nx\n"+from,
		found{"1@0", envelope, "A: 1\n\nx\n" + from})
	f("prose with a time in it", from+"A: 1\n\nFrom now on we meet at 10:30 in 2003\n",
		found{"1@0", envelope, "A: 1\n\nFrom now on we meet at 10:30 in 2003\n"})
	f("NUL", from+"A: 1\n\nx\x00y\n\n"+from+"B: 2\n", found{"1@0", envelope, "A: 1\n\nx\x00y\n"}, found{"2@54", envelope, "B: 2\n"})
	f("line endings converted twice", strings.ReplaceAll(from+"A: 1\n\nx\n", "\n", "\r\r\n"), found{"1@0", envelope, "A: 1\n\nx\n"})
	f("carriage returns alone", strings.ReplaceAll(from+"A: 1\n\nx\n\n"+from+"B: 2\n\ny\n", "\n", "\r"),
		found{"1@0", envelope, "A: 1\n\nx\n"}, found{"2@52", envelope, "B: 2\n\ny\n"})
	f("a single message with carriage returns alone", "A: 1\r\rx\r", found{"1@0", "", "A: 1\n\nx\n"})
	f("separators of other forms", from+"A: 1\n\nx\n\nFrom nobody\nFrom: a@b\nSubject: y\n\ny\n\nFrom -\nDate: z\n\nz\n",
		found{"1@0", envelope, "A: 1\n\nx\n"}, found{"2@52", "nobody", "From: a@b\nSubject: y\n\ny\n"}, found{"3@89", "-", "Date: z\n\nz\n"})
	f("a separator before prose", from+"A: 1\n\nx\n\n"+from+"is what the log says\n\ny\n",
		found{"1@0", envelope, "A: 1\n\nx\n\n" + from + "is what the log says\n\ny\n"})
	f("byte order mark", "\xef\xbb\xbf"+from+"A: 1\n", found{"1@3", envelope, "A: 1\n"})
	f("separator quoted by the receiving server", from+">From b@c Thu Aug 22 12:36:23 2002 remote from x\nA: 1\n",
		found{"1@0", envelope, "From b@c Thu Aug 22 12:36:23 2002 remote from x\nA: 1\n"})
	f("beginning is missing", "text of a lost message\n\n"+from+"A: 1\n", found{"1@0", "", "text of a lost message\n"}, found{"2@24", envelope, "A: 1\n"})
	f("no line end at the end", from+"A: 1\n\nx", found{"1@0", envelope, "A: 1\n\nx\n"})
	f("separator at the end", from+"A: 1\n\n"+from, found{"1@0", envelope, "A: 1\n"}, found{"2@49", envelope, ""})
	f("single message", "A: 1\n\n>From x\n\n"+from, found{"1@0", "", "A: 1\n\n>From x\n\n" + from})
	f("Gmail Takeout", "From 17@xxx Thu Aug 22 12:36:23 +0000 2002\nA: 1\n",
		found{"1@0", "17@xxx Thu Aug 22 12:36:23 +0000 2002", "A: 1\n"})
}

// TestReaderBelievesContentLength checks that in mboxcl and mboxcl2 files a body may contain separators if its length is
// correct.
func TestReaderBelievesContentLength(t *testing.T) {
	envelope := strings.TrimSpace(from[len("From "):])
	const second = from + "B: 2\n\ny\n"
	f := func(name, header, body string, want ...string) {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(t, strings.NewReader(from+header+"\n"+body+"\n"+second))
			if err != nil {
				t.Fatal(err)
			}
			var bodies []string
			for _, message := range got {
				if message.Envelope != envelope {
					t.Errorf("envelope %q", message.Envelope)
				}
				bodies = append(bodies, message.Body)
			}
			if diff := cmp.Diff(append(want, "B: 2\n\ny\n"), bodies); diff != "" {
				t.Error(diff)
			}
		})
	}
	quoting := from + "C: 3\n\n>From z\n"
	length := func(n int) string { return fmt.Sprintf("content-length: %d\n", n) }
	f("right, nothing is quoted", length(len(quoting)), quoting, length(len(quoting))+"\n"+quoting)
	f("right, all is quoted", length(len(">From z\n")), ">From z\n", length(len(">From z\n"))+"\nFrom z\n")
	f("not given", "D: 4\n", quoting, "D: 4\n", "C: 3\n\nFrom z\n")
	f("too small", length(3), quoting, length(3), "C: 3\n\nFrom z\n")
	f("too large", length(len(quoting)+20), quoting, length(len(quoting)+20), "C: 3\n\nFrom z\n")
	f("absurd", "Content-Length: 99999999999\n", quoting, "Content-Length: 99999999999\n", "C: 3\n\nFrom z\n")
	f("negative", length(-1), "x\n", length(-1)+"\nx\n")
	f("no number", "Content-Length: many\n", "x\n", "Content-Length: many\n\nx\n")

	t.Run("at the end of the file", func(t *testing.T) {
		got, err := readAll(t, strings.NewReader(from+length(len(quoting))+"\n"+quoting))
		if err != nil || len(got) != 1 {
			t.Errorf("%d messages, %v", len(got), err)
		}
	})
}

// usualSeparators have an address and a time, and otherSeparators may be text as well.
var (
	usualSeparators = []string{
		"From a@b Thu Aug 22 12:36:23 2002", "From a@b Thu Aug  2 12:36 2002\r", "From - Thu Aug 22 12:36:23 2002", "From  Thu Aug 22 12:36:23 2002",
		"From 17@xxx Thu Aug 22 12:36:23 +0000 2002", "From a@b Thu Aug 22 12:36:23 EDT 2002", "From a@b Thu Aug 22 12:36:23 2002 +0200",
		"From a at b.example  Thu Aug 22 12:36:23 2002", "From a@b Thu, 22 Aug 2002 12:36:23 +0000", "From a@b 22 Aug 2002 12:36 GMT",
		"From a@b 2002-08-22 12:36:23", "From a@b 2002-08-22T12:36:23.123+02:00", "From x!y Thu Aug 22 12:36:23 2002 remote from z",
	}
	otherSeparators = []string{
		"From nobody", "From nobody\r", "From -", "From ", "From a@b", "From a@b Thu, 22 Aug 2024 13:17:22 +0200 (CEST)", "From a@b Aug 22 13:17:22 2024",
		"From a@b 8/22/2024 1:17:22 PM", "From a@b Do Aug 22 13:17:22 2024", "From a@b jeu. 22 août 2024 13:17:22", "From \"Ann Example\" <a@b> Thu Aug 22 12:36:23 2002 it rained",
		"From here on I quote:", "From 10:30 to 12:00 in 2002", "From Thursday we open at 10:30", "From a@b Foo Bar 22 12:36:23 2002",
	}
)

func TestSeparates(t *testing.T) {
	const (
		mail  = "From: Ann Example <ann@example.org>\nTo: me@example.net,\n you@example.net\nSubject: Hello\n\nFrom: text\nmore text\n"
		prose = "is what the log says\nSubject to change: all of it\n\nimportant ending\n"
		notes = "Note: this is a text\nand has more lines\n\nFrom: ann@example.org\n"
		other = "A: 1\nB: 2\n\ntext\n"
	)
	check := func(line, rest string, afterBlank, want bool) {
		t.Helper()
		if got := separates([]byte(line+"\n"+rest), afterBlank); got != want {
			t.Errorf("%q before %q, after an empty line: %t; separates: %t", line, rest, afterBlank, got)
		}
	}
	for _, line := range usualSeparators {
		check(line, mail, true, true)
		check(line, mail, false, true)
		check(line, other, true, true)
		check(line, "garbage\n"+mail, true, true)
		check(line, ">From c@d Thu Aug 22 12:36:23 2002 remote from x\n"+other, true, true)
		check(line, "", true, true)
		check(line, "", false, false)
		check(line, prose, true, false)
		check(line, prose, false, false)
	}
	for _, line := range otherSeparators {
		check(line, mail, true, true)
		check(line, strings.ReplaceAll(mail, "\n", "\r\n"), true, true)
		check(line, mail[:40], true, true) // what is behind it is not read yet, or was cut off
		check(line, mail, false, false)
		check(line, other, true, false)
		check(line, "", true, false)
		check(line, prose, true, false)
		check(line, notes, true, false)
		check(line, "\n"+mail, true, false)
	}
	for _, line := range []string{
		"from a@b Thu Aug 22 12:36:23 2002", ">From a@b Thu Aug 22 12:36:23 2002", "From: a@b Thu Aug 22 12:36:23 2002",
		"From a@b " + strings.Repeat("x", maxSeparator) + " Thu Aug 22 12:36:23 2002",
	} {
		check(line, mail, true, false)
	}
}

// TestReaderKnowsMboxByName checks that an mbox whose first line is lost is still split into messages.
func TestReaderKnowsMboxByName(t *testing.T) {
	const text = "A: 1\n\nx\n\n" + from + "B: 2\n"
	for name, want := range map[string]int{"in.mbox": 2, "IN.MBOX.GZ": 2, "in.eml": 1, "-": 1} {
		reader, count := NewReader(strings.NewReader(text), name), 0
		for {
			if _, err := reader.Next(); err != nil {
				break
			}
			count++
		}
		if count != want {
			t.Errorf("%s: %d messages, want %d", name, count, want)
		}
	}
}

// TestLineEndsAreTheSameInLongLines checks a line ending that straddles the window.
func TestLineEndsAreTheSameInLongLines(t *testing.T) {
	hash := func(text string) [32]byte {
		raw, err := NewReader(strings.NewReader(text), "f").Next()
		if err != nil {
			t.Fatal(err)
		}
		return raw.Hash
	}
	const header = "A: 1\n\n"
	for length := window - 3; length <= window+1; length++ {
		text := header + strings.Repeat("z", length) + "\ny\n"
		if hash(text) != hash(strings.ReplaceAll(text, "\n", "\r\n")) {
			t.Errorf("a line of %d bytes depends on its line end", length)
		}
	}
}

func TestReaderRefusesOtherFiles(t *testing.T) {
	for _, input := range []string{"%PDF-1.4\n", "\x00\x01\x02", "just text\n", "From nobody\n"} {
		if _, err := readAll(t, strings.NewReader(input)); !errors.Is(err, ErrNoMail) {
			t.Errorf("%q: %v", input, err)
		}
	}
}

func TestReaderReportsAReadError(t *testing.T) {
	broken := errors.New("disk")
	in := io.MultiReader(strings.NewReader(from+"A: 1\n"), iotest.ErrReader(broken))
	if _, err := readAll(t, in); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// TestReaderKeepsWhatIsBehindAnAttachment checks a message of two large files in base64: of each a part is kept, and all text.
func TestReaderKeepsWhatIsBehindAnAttachment(t *testing.T) {
	file := strings.Repeat(strings.Repeat("QUJD", 19)+"\n", 6<<20/77)
	text := "Subject: x\n\nbefore\n" + file + "between\n" + file + "behind\n"
	raw, err := NewReader(strings.NewReader(text), "f").Next()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"before\nQUJD", "QUJD\nbetween\nQUJD", "QUJD\nbehind\n"} {
		if !bytes.Contains(raw.Bytes, []byte(part)) {
			t.Errorf("%q is missing", part)
		}
	}
	if raw.Cut || len(raw.Bytes) > 2*maxEncoded+1000 || len(raw.Bytes) < 2*maxEncoded-1000 {
		t.Errorf("%d bytes are kept, cut: %t", len(raw.Bytes), raw.Cut)
	}
	other, err := NewReader(strings.NewReader("Subject: x\n\nbefore\n"+strings.Replace(file+"between\n"+file, "QUJD\nbetween", "QUJE\nbetween", 1)+"behind\n"), "f").Next()
	if err != nil || len(other.Bytes) != len(raw.Bytes) || other.Hash == raw.Hash {
		t.Errorf("the hash does not cover what is left out (%v)", err)
	}
	cut, err := NewReader(strings.NewReader("Subject: x\n\n"+strings.Repeat("some words\n", maxKept/10)), "f").Next()
	if err != nil || !cut.Cut {
		t.Errorf("a text that is too long counts as whole: %v", err)
	}
	event, err := Parse(cut, Options{UserID: "u", RecordedAt: importTime})
	if err != nil || !event.Mail.Truncated {
		t.Errorf("its mail is not truncated: %v", err)
	}
}

// TestReaderBoundsMemory checks that 8 MiB of a 20 MiB line are kept, and that the hash covers the rest.
func TestReaderBoundsMemory(t *testing.T) {
	body := func(last string) io.Reader {
		return io.MultiReader(strings.NewReader(from+"A: 1\n\n"), io.LimitReader(repeated{}, 20<<20), strings.NewReader(last+"\n\n"+from+"B: 2\n"))
	}
	next := func(last string) (*Raw, *Raw) {
		reader := NewReader(body(last), "f")
		first, err := reader.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(first.Bytes) != maxKept || cap(first.Bytes) > 2*maxKept {
			t.Errorf("%d bytes kept in %d", len(first.Bytes), cap(first.Bytes))
		}
		second, err := reader.Next()
		if err != nil {
			t.Fatal(err)
		}
		return first, second
	}
	first, second := next("x")
	other, _ := next("y")
	if first.Hash == other.Hash {
		t.Error("the hash does not cover what is not kept")
	}
	if string(second.Bytes) != "B: 2\n" {
		t.Errorf("the next message is %q", second.Bytes)
	}
}

type repeated struct{}

func (repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'z'
	}
	return len(p), nil
}

// TestQuotingLosesNothing checks that a message written with mboxrd quoting is read unchanged, with the same hash as from a
// file of its own.
func TestQuotingLosesNothing(t *testing.T) {
	line := rapid.SampledFrom([]string{"", "From x", ">From x", from[:len(from)-1], "text", "\tx", ">", "Ünï"})
	rapid.Check(t, func(t *rapid.T) {
		messages := rapid.SliceOfN(rapid.SliceOfN(line, 0, 8), 1, 4).Draw(t, "messages")
		var mbox strings.Builder
		var want []string
		for _, lines := range messages {
			text := "A: 1\n\n"
			mbox.WriteString(from + text)
			for _, line := range lines {
				text += line + "\n"
				if strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
					line = ">" + line
				}
				mbox.WriteString(line + "\n")
			}
			mbox.WriteString("\n")
			want = append(want, strings.TrimRight(text, "\n")+"\n")
		}
		reader := NewReader(strings.NewReader(mbox.String()), "f")
		for _, text := range want {
			raw, err := reader.Next()
			if err != nil || string(raw.Bytes) != text {
				t.Fatalf("got %q, %v, want %q", raw.Bytes, err, text)
			}
			hash := raw.Hash
			alone, err := NewReader(strings.NewReader(text), "f").Next()
			if err != nil || alone.Hash != hash {
				t.Fatalf("alone %x, %v, want %x", alone.Hash, err, hash)
			}
		}
		if _, err := reader.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v at the end", err)
		}
	})
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(from + "From: a@b.example\nSubject: =?utf-8?q?x?=\n\nhello\n"))
	f.Add([]byte("From: a@b.example\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n\n<b>hi</b>\n--x--\n"))
	f.Add([]byte("From: \xe9 <a@b>\nDate: 32 Foo 99 25:00\nX-Gmail-Labels: \"a,b\", Spam\n\n\x00\xff"))
	reader := NewReader(nil, "f")
	f.Fuzz(func(t *testing.T, data []byte) {
		reader.reset(bytes.NewReader(data), Place{File: "f"})
		for {
			raw, err := reader.Next()
			if err != nil {
				return
			}
			event, err := Parse(raw, Options{UserID: "u", RecordedAt: importTime})
			var broken *BrokenError
			switch {
			case err == nil && event.Validate() != nil:
				t.Fatal(event.Validate())
			case err != nil && !errors.As(err, &broken):
				t.Fatal(err)
			}
		}
	})
}
