package printable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := Text(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("Grüße, 日本語 – 👩‍🚀", "Grüße, 日本語 – 👩‍🚀")
	f("می\u200cخواهم", "می\u200cخواهم")
	f("a\tb\nc\r\nd\u2028e\u00a0f", "a b c  d e f")
	f("\x1b[2J\x07\x00\x7f", "\uFFFD[2J\uFFFD\uFFFD\uFFFD")
	f("\u009b31m\u0085", "\uFFFD31m ")
	f("\x9b31m\xff", "\uFFFD31m\uFFFD")
	f("abc\u202edcba\u2066\u200f\ufeff\u00ad\U000E0041", "abc\uFFFDdcba\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD")
	f("\ue000\U0010FFFF", "\uFFFD\uFFFD")
}

func TestError(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if got := Error(err); got != want {
			t.Errorf("%q becomes %q, want %q", err, got, want)
		}
	}
	refused := "127.0.0.1:1 (127.0.0.1): dial error: dial tcp 127.0.0.1:1: connect: connection refused"
	f(fmt.Errorf("read: %w", errors.New("failed to connect to `user=u database=d`:\n\t"+refused+"\n\t"+refused)),
		"read: failed to connect to `user=u database=d`: "+refused)
	f(errors.Join(errors.New("one"), errors.New("two"), errors.New("one")), "one; two")
	f(errors.New("\x1b[2Jx\nOK\u202e"), "\uFFFD[2Jx; OK\uFFFD")
	f(errors.New(""), "")
}

func TestJSONKeepsItsValues(t *testing.T) {
	var all strings.Builder
	for r := rune(0); r < 0x30000; r++ {
		if utf8.ValidRune(r) {
			all.WriteRune(r)
		}
	}
	all.WriteString("\U000E0041\U0010FFFF")
	f := func(value string) {
		t.Helper()
		var out bytes.Buffer
		encoder := json.NewEncoder(JSONWriter(&out))
		encoder.SetIndent("", "\t")
		if err := encoder.Encode(map[string]string{value: value}); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%q is written as %q: %v", value, &out, err)
		}
		if got[value] != value {
			t.Errorf("%q is read as %q", value, got)
		}
		for _, r := range out.String() {
			if !plain(r) && r != '\n' && r != '\t' {
				t.Fatalf("%q contains %q", &out, r)
			}
		}
	}
	f("")
	f("plain")
	f("\u009b31m \x1b[2J \u202e \U000E0041 \x7f")
	f(all.String())
}

func TestJSONEscapesInvalidBytes(t *testing.T) {
	if got := string(JSON([]byte("\"a\x9bb\""))); got != `"a\ufffdb"` {
		t.Errorf("got %s", got)
	}
}
