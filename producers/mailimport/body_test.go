package mailimport

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/applylens/applylens/events"
)

const mimeHeader = "From: a@b.example\nMIME-Version: 1.0\n"

// multipart writes parts, each a header and a body, as a message or as a part.
func multipart(kind, boundary string, parts ...string) string {
	text := fmt.Sprintf("Content-Type: multipart/%s; boundary=\"%s\"\n\n", kind, boundary)
	for _, part := range parts {
		text += "--" + boundary + "\n" + part + "\n"
	}
	return text + "--" + boundary + "--\n"
}

func TestParseText(t *testing.T) {
	f := func(name, message, want string) {
		t.Run(name, func(t *testing.T) {
			if got := parse(t, mimeHeader+message).Text; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	const plain, page = "Content-Type: text/plain\n\nplain\n", "Content-Type: text/html\n\n<p>rich</p>\n"
	const attached = "Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\nattached\n"
	wordy := strings.Repeat("word ", 20)

	f("plain", "\nplain\n", "plain")
	f("no body", "", "")
	f("no type", "Content-Type:\n\nplain\n", "plain")
	f("invalid type", "Content-Type: ;;; text\n\nplain\n", "plain")
	f("obsolete type", "Content-Type: text\n\nplain\n", "plain")
	for _, kind := range []string{
		"text/plain charset=utf-8", "text/plain, charset=utf-8", "text/plain: charset=utf-8", "text/plain;; charset=utf-8;", "text / plain; charset=utf-8", "text\\plain; charset=utf-8",
		"\"text/plain\"; charset=utf-8", "'text/plain'; charset=utf-8", "Content-Type: text/plain; charset=utf-8", "text/plain; charset=utf-8, format=flowed", "text/plain; charset=utf-8 (Unicode)",
		"text/plain; (Unicode) charset=utf-8", "text/plain; charset=utf-8; a stray word", "text/plain; = ; charset = \"utf-8", "text/plain/x; charset=utf-8", "text/; charset=utf-8",
		"plain/text; charset=utf-8", "*/*; charset=utf-8", "/plain", "=?utf-8?q?text/plain?=", "(text/plain) charset=utf-8", "text/plain charset=\"utf-8\" format=flowed",
	} {
		f(kind, "Content-Type: "+kind+"\n\ncafé\n", "café")
	}
	f("parts without a semicolon", strings.Replace(multipart("mixed", "o", plain), ";", "", 1), "plain")
	f("parts with a comma", strings.Replace(multipart("mixed", "o", plain), ";", ",", 1), "plain")
	f("a file of an unknown family", "Content-Type: strange/file\n\n\x00\x01\n", "")
	f("a named file of an unknown family", "Content-Type: strange/file; name=a.bin\n\nABC\n", "")
	f("HTML only", "Content-Type: text/html\n\n<html><style>p{}</style><p>Hello <b>you</b></p></html>", "Hello you")
	f("HTML that claims to be plain", "Content-Type: text/plain\n\n\n<HTML><p>Hello</p></HTML>", "Hello")
	f("plain and rich", multipart("alternative", "o", plain, page), "plain")
	f("rich and plain", multipart("alternative", "o", page, plain), "plain")
	f("empty and rich", multipart("alternative", "o", "Content-Type: text/plain\n\n \n", page), "rich")
	f("plain that only refers to rich", multipart("alternative", "o", plain, "Content-Type: text/html\n\n<p>"+wordy+"</p>\n"), strings.TrimSpace(wordy))
	f("rich with pictures", multipart("alternative", "o", "\n \n", multipart("related", "i", page, "Content-Type: image/png\n\nx\n")), "rich")
	f("rich and the footer of a list", multipart("mixed", "o", page, "Content-Type: text/plain\n\nfooter\n"), "rich\n\nfooter")
	f("nested", multipart("mixed", "o", multipart("alternative", "i", plain, page), "Content-Type: application/pdf\n\nx\n", attached), "plain")
	f("attachment only", "Content-Type: application/pdf\n\nx\n", "")
	f("text attached", strings.TrimPrefix(attached, "Content-Type: text/plain\n"), "")
	f("no closing boundary", "Content-Type: multipart/mixed; boundary=o\n\n--o\n"+plain, "plain")
	f("no boundary given", "Content-Type: multipart/mixed\n\nplain\n", "plain")
	f("another boundary than given", "Content-Type: multipart/mixed; boundary=o\n\n--p\n\nplain\n--p--\n", "--p\n\nplain\n--p--")
	f("part without a header", multipart("mixed", "o", "\nplain\n"), "plain")
	f("forwarded message", multipart("mixed", "o", plain, "Content-Type: message/rfc822\n\nFrom: c@d.example\nSubject: =?utf-8?q?caf=C3=A9?=\n\ninner\n"),
		"plain\n\nFrom: c@d.example\nSubject: café\n\ninner")
	f("digest", multipart("digest", "o", "\nFrom: c@d.example\nSubject: s\n\none\n", "\nFrom: e@f.example\nSubject: t\n\ntwo\n"),
		"From: c@d.example\nSubject: s\n\none\n\nFrom: e@f.example\nSubject: t\n\ntwo")
	f("patch", multipart("mixed", "o", plain, "Content-Type: text/x-patch\n\n+one\n"), "plain\n\n+one")
	f("calendar", multipart("alternative", "o", plain, "Content-Type: text/calendar\n\nBEGIN:VCALENDAR\n"), "plain")
	f("another form of a page", multipart("alternative", "o", "Content-Type: text/x-amp-html\n\n<p>amp</p>\n", page), "rich")
	f("signed", multipart("signed", "o", plain, "Content-Type: application/pgp-signature\n\nx\n"), "plain")
	f("NUL", "\na\x00b\n", "a\uFFFDb")
	f("CRLF in base64", "Content-Transfer-Encoding: base64\n\n"+base64.StdEncoding.EncodeToString([]byte("a\r\nb\r\n")), "a\nb")
}

func TestParseTextOfCharacterSets(t *testing.T) {
	f := func(name, message, want string) {
		t.Run(name, func(t *testing.T) {
			if got := parse(t, mimeHeader+message).Text; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	f("declared", "Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: base64\n\n"+
		base64.StdEncoding.EncodeToString([]byte(encode(t, charmap.KOI8R, "Привет"))), "Привет")
	f("eight bits without one", "\ncaf\xe9\n", "café")
	f("HTML of eight bits without one", "Content-Type: text/html\n\n<p>caf\xe9</p>\n", "café")
	f("declared in the page", "Content-Type: text/html\n\n<meta http-equiv=x content=\"text/html; charset=GB2312\"><p>"+encode(t, simplifiedchinese.GBK, "你好")+"</p>\n", "你好")
	f("two parts, two sets", multipart("mixed", "o", "Content-Type: text/plain; charset=iso-8859-1\n\ncaf\xe9\n", "Content-Type: text/plain; charset=utf-8\n\ncafé\n"), "café\n\ncafé")
	f("unknown encoding", "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bits\n\ncaf\xe9\n", "café")
	f("unencoded header bytes have the character set of the text", "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: message/rfc822\n\n"+
		"Content-Type: text/plain; charset=koi8-r\nSubject: \xf0\xd2\xc9\n\n\xf0\xd2\xc9\n--o--\n", "From: \nSubject: ðÒÉ\n\nПри")
}

func TestDecodeTransfer(t *testing.T) {
	f := func(name, encoding, content, want string) {
		t.Run(name, func(t *testing.T) {
			if got := string(decodeTransfer([]byte(content), encoding)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	f("none", "", "a=41", "a=41")
	f("base64", "BASE64", "SGVs\nbG8=\n", "Hello")
	f("base64 with a footer", "base64", "SGVsbG8=\n\n_______\nTo unsubscribe, write\n", "Hello\n_______\nTo unsubscribe, write\n")
	f("base64 with a wrong character", "base64", "SGVsbG8gd29ybGQsIGhlbGxvIHdvcmxk!\nIQ==\n", "Hello world, hello world!")
	f("not base64", "base64", "This is plain, is it not?\n", "This is plain, is it not?\n")
	f("base64 cut short", "base64", "SGVsb", "Hel")
	f("quoted-printable", "Quoted-Printable ", "caf=C3=a9 =\n=3D", "café =")
	f("quoted-printable with blanks at the end", "quoted-printable", "a= \t\r\nb", "ab")
	f("not quoted-printable", "quoted-printable", "a=b =C3=A é = =4", "a=b \xc3=A é = =4")
	f("quoted-printable that ends early", "quoted-printable", "a=", "a")
}

// TestParseIsBounded checks that time and memory are proportional to a message's size, and that each message is parsed or
// refused.
func TestParseIsBounded(t *testing.T) {
	const size = 1 << 19
	fill := func(text string) string { return strings.Repeat(text, size/len(text)) }
	nested := ""
	for depth := range 20_000 {
		nested += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", depth, depth)
	}
	forwarded := strings.Repeat("Content-Type: message/rfc822\n\nFrom: a@b\n", 20_000)
	bombs := map[string]string{
		"many parts":         "Content-Type: multipart/mixed; boundary=b\n\n" + fill("--b\n\nx\n"),
		"deep parts":         nested,
		"deep messages":      forwarded,
		"many headers":       fill("X: y\n"),
		"long header":        "Subject: " + fill("word ") + "\n",
		"folded header":      "Subject: x\n" + fill(" y\n"),
		"encoded words":      "Subject: " + fill("=?utf-8?q?=C3?= ") + "\n",
		"broken words":       "Subject: " + fill("=?utf-8?q?") + "\n",
		"recipients":         "To: " + fill("a@b, ") + "\n",
		"brackets":           "To: " + fill("<") + "\n",
		"quotes":             "From: " + fill(`"\`) + "\n",
		"colons":             "Cc: " + fill("a:") + "\n",
		"received":           fill("Received: from a by b; Thu, 22 Aug 2002 12:00:00 +0000\n"),
		"type":               "Content-Type: text/plain; " + fill("a=b; ") + "\n",
		"boundary":           "Content-Type: multipart/mixed; boundary=" + fill("b") + "\n",
		"labels":             "X-Gmail-Labels: " + fill(`"a",`) + "\n",
		"references":         "References: " + fill("<a@b> ") + "\n",
		"broken header":      fill("no colon\n"),
		"broken base64":      "Content-Transfer-Encoding: base64\n\n" + fill("!"),
		"base64":             "Content-Transfer-Encoding: base64\n\n" + fill("QUJD\n"),
		"quoted-printable":   "Content-Transfer-Encoding: quoted-printable\n\n" + fill("=4"),
		"deep page":          "Content-Type: text/html\n\n" + fill("<b>"),
		"links":              "Content-Type: text/html\n\n" + fill("<a href=x>"),
		"attributes":         "Content-Type: text/html\n\n<b " + fill("a=b ") + ">",
		"entities":           "Content-Type: text/html\n\n" + fill("&amp;"),
		"style without end":  "Content-Type: text/html\n\n<style>" + fill("p{}"),
		"one line":           "\n" + fill("x"),
		"empty lines":        "\n" + fill("\n") + "x",
		"Chinese in UTF-7":   "Content-Type: text/plain; charset=utf-7\n\n" + fill("+T2A-"),
		"nested Content-IDs": "Content-Id: " + fill("<") + "\n",
		"file name":          "Content-Disposition: attachment; filename*0=" + fill("=?utf-8?q?a?=") + "\n",
	}
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			raw, err := NewReader(strings.NewReader("From: a@b.example\n"+bomb), "f").Next()
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			event, err := Parse(raw, Options{UserID: "u", RecordedAt: importTime})
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if len(event.Mail.Text) > events.MaxText {
				t.Errorf("%d bytes of text", len(event.Mail.Text))
			}
			if took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			if spent := (after.TotalAlloc - before.TotalAlloc) >> 20; spent > 300 {
				t.Errorf("took %d MiB", spent)
			}
			t.Logf("%s, %d MiB", took, (after.TotalAlloc-before.TotalAlloc)>>20)
		})
	}
}
