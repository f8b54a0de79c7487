package mailimport

import (
	"mime"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestDecodeHeader(t *testing.T) {
	f := func(name, value, want string) {
		t.Run(name, func(t *testing.T) {
			if got := decodeHeader(value, "koi8-r"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	f("plain", "plain =? text ?=", "plain =? text ?=")
	f("quoted", "=?ISO-8859-1?q?caf=e9_x?=", "café x")
	f("base64", "=?utf-8?B?SGVsbG8g8J+Yig==?= and more", "Hello 😊 and more")
	f("white space between words is none", "a =?utf-8?q?b?= =?iso-8859-1?q?c?= d", "a bc d")
	f("no white space between words", "=?utf-8?q?b?==?utf-8?q?c?=", "bc")
	f("a character cut in two", "=?utf-8?B?w6nD?= =?utf-8?B?qQ==?=", "éé")
	f("a character cut in two, both encodings", "=?utf-8?Q?=C3?= =?UTF-8?B?qQ==?=", "é")
	f("ISO-2022-JP", "=?iso-2022-jp?B?GyRCJDMkcxsoQg==?=", "こん")
	f("language", "=?utf-8*en?q?caf=C3=A9?=", "café")
	f("no padding", "=?utf-8?B?Y2Fmw6k?=", "café")
	f("base64 that ends too early", "=?utf-8?B?w6lhZsOpw6?=", "éafé\uFFFD")
	f("base64 with spaces", "=?utf-8?B?Y2Fm w6k=?=", "café")
	f("spaces and question marks", "=?utf-8?Q?Are you there??=", "Are you there?")
	f("an invalid escape", "=?utf-8?Q?100=% =C3=A9?=", "100=% é")
	f("empty", "=?utf-8?Q??=", "")
	f("unknown encoding", "=?utf-8?X?abc?=", "=?utf-8?X?abc?=")
	f("unknown character set", "=?no-such-set?Q?caf=E9?=", "café")
	f("no end", "=?utf-8?Q?abc", "=?utf-8?Q?abc")
	f("unencoded bytes are in the message's character set", "\xf0\xd2\xc9 =?utf-8?q?=C3=A9?= \xd7", "При é в")
	f("bare UTF-8", "При", "При")
}

// TestDecodeHeaderUndoesEncoding checks that decoding reverses the encoding of the standard library.
func TestDecodeHeaderUndoesEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(strings.Fields(strings.ReplaceAll(rapid.String().Draw(t, "text"), "=?", "")), " ")
		text = strings.ReplaceAll(text, "\ufeff", "")
		for _, encoder := range []mime.WordEncoder{mime.QEncoding, mime.BEncoding} {
			if got := decodeHeader(encoder.Encode("utf-8", text), ""); got != text {
				t.Fatalf("got %q, want %q", got, text)
			}
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add("=?utf-8?Q?a?= =?utf-8?B?w6k?= \xe9", "iso-8859-1")
	f.Add("=?utf-7?q?+AOk-?=", "utf-7")
	f.Fuzz(func(t *testing.T, value, label string) {
		if got := decodeHeader(value, label); !utf8.ValidString(got) {
			t.Errorf("%q is not UTF-8", got)
		}
	})
}
