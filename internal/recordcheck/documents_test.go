package recordcheck

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
)

// split returns each document as "line:column text", or "line:column fault at line:column".
func split(t testing.TB, in io.Reader) []string {
	t.Helper()
	found := []string{}
	for documents := newDocuments(in); ; {
		doc, err := documents.next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		text := string(doc.text)
		if doc.fault != nil {
			text = fmt.Sprintf("fault at %d:%d", doc.at.line, doc.at.column)
		}
		found = append(found, fmt.Sprintf("%d:%d %s", doc.place.line, doc.place.column, text))
	}
}

func TestDocuments(t *testing.T) {
	f := func(name, text string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
				if diff := cmp.Diff(append([]string{}, want...), split(t, in)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	f("nothing", "")
	f("white space", " \n\r\n\t")
	f("lines", "{\"a\":1}\n\n{\"b\":[]}\r\n", `1:1 {"a":1}`, `3:1 {"b":[]}`)
	f("without an end of line", `{"a":1}`, `1:1 {"a":1}`)
	f("one behind the other", `{"a":"}{"} {} []7 "x"`, `1:1 {"a":"}{"}`, `1:12 {}`, `1:15 []`, `1:17 7`, `1:19 "x"`)
	f("several lines each", "{\n  \"a\": 1\n}\n {\n}\n", "1:1 {\n  \"a\": 1\n}", "4:2 {\n}")
	f("broken lines", "{\"a\":1}\n{\"a\" 1}\nnonsense\n{\"b\":2}\n", `1:1 {"a":1}`, `2:1 fault at 2:6`, `3:1 fault at 3:2`, `4:1 {"b":2}`)
	f("a line that is cut off", "{\"a\":1,\n{\"b\":2}\n{\"c\":3}\n", `1:1 fault at 2:1`, `2:1 {"b":2}`, `3:1 {"c":3}`)
	f("a line that is cut off before a value", "{\"a\":\n{\"b\":2}\n{\"c\":3}\n", `1:1 fault at 3:1`, `2:1 {"b":2}`, `3:1 {"c":3}`)
	f("a line that is cut off in a text", "{\"a\":\"x\n{\"b\":2}\n", `1:1 fault at 1:8`, `2:1 {"b":2}`)
	f("indented lines", "  {\"a\":1}\n  {bad}\n  {\"b\":2}\n", `1:3 {"a":1}`, `2:3 fault at 2:4`, `3:3 {"b":2}`)
	f("a broken one of several lines", "{\n  \"a\": 1\n  \"b\": {\n  }\n}\n{\n \"c\": 2\n}\n", `1:1 fault at 3:3`, "6:1 {\n \"c\": 2\n}")
	f("no end", "{\"a\":1}\n{\"b\":[1,", `1:1 {"a":1}`, `2:1 fault at 2:9`)
	f("behind a value", "{\"a\":1},\n{\"b\":2}\n", `1:1 {"a":1}`, `1:8 fault at 1:8`, `2:1 {"b":2}`)
	f("too many levels", strings.Repeat("[", 1000)+"\n{}\n", fmt.Sprintf(`1:1 fault at 1:%d`, maxLevels+1), `2:1 {}`)
	f("as many levels as there may be", strings.Repeat("[", maxLevels)+strings.Repeat("]", maxLevels)+strings.Repeat(`"[{"`, 100),
		append([]string{"1:1 " + strings.Repeat("[", maxLevels) + strings.Repeat("]", maxLevels)}, many(100, 2*maxLevels+1, `"[{"`)...)...)
}

// many returns n equal texts of four bytes, from a column of the first line on.
func many(n, column int, text string) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("1:%d %s", column+4*i, text))
	}
	return list
}

func TestALongDocumentIsPassedOverWithoutKeepingIt(t *testing.T) {
	long := io.MultiReader(strings.NewReader(`{"a":"`), io.LimitReader(endless('x'), 100<<20), strings.NewReader("\"}\n{\"b\":2}\n"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := split(t, long)
	runtime.ReadMemStats(&after)
	if len(got) != 2 || !strings.HasPrefix(got[0], "1:1 fault") || got[1] != `2:1 {"b":2}` {
		t.Errorf("%.200q", got)
	}
	// All that was ever taken: a line that is passed over is read into buffers of readSize, which add up to its length.
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 100<<20+30*MaxDocument {
		t.Errorf("%d MiB were taken", taken>>20)
	}
}

func TestALongValueHasRoom(t *testing.T) {
	value := `{"payload":"` + strings.Repeat(`\u0001`, events.MaxValue) + `"}`
	if got := split(t, strings.NewReader(value)); len(got) != 1 || strings.Contains(got[0], "fault") {
		t.Errorf("%.200q", got)
	}
}

func TestErrorsOfTheReaderAreReturned(t *testing.T) {
	broken := errors.New("broken pipe")
	documents := newDocuments(io.MultiReader(strings.NewReader("{}\n{\"a\":"), iotest.ErrReader(broken)))
	if doc, err := documents.next(); err != nil || string(doc.text) != "{}" {
		t.Errorf("%s %v", doc.text, err)
	}
	if _, err := documents.next(); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// endless reads the same byte for ever.
type endless byte

func (e endless) Read(buffer []byte) (int, error) {
	for i := range buffer {
		buffer[i] = byte(e)
	}
	return len(buffer), nil
}

// FuzzDocuments checks that all text is either in documents or given up with a fault, in the order of the file.
func FuzzDocuments(f *testing.F) {
	for _, text := range []string{"{\"a\":1}\n{\"b\" 2}\n[1,\n2]\n", "{\n \"a\": [\n }\n{}\n", `{"a":"\`, "{}{}x{}\n\"\\u12\""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		documents := newDocuments(iotest.HalfReader(bytes.NewReader(text)))
		last := place{1, 0}
		for count := 0; ; count++ {
			doc, err := documents.next()
			if errors.Is(err, io.EOF) {
				if blank := len(bytes.Trim(text, " \t\r\n")) == 0; blank != (count == 0) {
					t.Errorf("%q has %d documents", text, count)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if doc.place.line < last.line || doc.place.line == last.line && doc.place.column <= last.column {
				t.Fatalf("%q: a document at %v is behind one at %v", text, doc.place, last)
			}
			if last = doc.place; doc.fault == nil && !bytes.HasPrefix(at(text, doc.place), doc.text) {
				t.Fatalf("%q: %q is not at %v", text, doc.text, doc.place)
			}
		}
	})
}

// at returns the text from a place on.
func at(text []byte, p place) []byte {
	for range p.line - 1 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text[p.column-1:]
}
