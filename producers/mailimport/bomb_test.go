package mailimport

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestHostileShapesTakeLittleMemory parses messages of the greatest size that is kept, whose structure is as dense as it can
// be. What parsing allocates in total bounds what it takes at once.
func TestHostileShapesTakeLittleMemory(t *testing.T) {
	const most = 128 << 20
	fill := func(unit string) string { return strings.Repeat(unit, maxKept/len(unit)) }
	names := func() string {
		var b strings.Builder
		for i := 0; b.Len() < maxKept; i++ {
			fmt.Fprintf(&b, "h%x:\n", i)
		}
		return b.String()
	}()
	const head = "From: a@example.com\nSubject: s\nMIME-Version: 1.0\n"
	const page = head + "Content-Type: text/html\n\n<html>"
	for name, text := range map[string]string{
		"names of headers":           head + names,
		"values of a header":         head + fill("a:\n"),
		"parts":                      head + "Content-Type: multipart/mixed; boundary=b\n\n" + fill("--b\n\nx\n"),
		"parts of parts":             head + "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: multipart/mixed; boundary=c\n\n"+strings.Repeat("--c\n\nx\n", 1000), 1200),
		"headers of many parts":      head + "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n"+names[:8000]+"\n", 1000),
		"attributes of a tag":        page + "<p " + fill("a ") + ">",
		"attributes of a link":       page + "<a " + fill("a ") + ">",
		"tags":                       page + fill("<p a b c d>"),
		"links":                      page + fill("<a href=b>x</a>"),
		"entities":                   page + fill("&amp;"),
		"quoted-printable":           head + "Content-Transfer-Encoding: quoted-printable\n\n" + fill("=41"),
		"base64":                     head + "Content-Transfer-Encoding: base64\n\n" + fill("QUJD"),
		"addresses":                  head + "To: " + strings.Repeat("=?utf-8?q?a?= <a@b.c>, ", 2500) + "\n\n" + fill("a "),
		"forwarded messages":         head + "Content-Type: message/rfc822\n\n" + fill("From: a\nContent-Type: message/rfc822\n\n"),
		"headers of a forwarded one": head + "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(head+names)),
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := NewReader(strings.NewReader(text), "x").Next()
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err = Parse(raw, Options{UserID: "u", RecordedAt: time.Now()})
			runtime.ReadMemStats(&after)
			took := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d MiB in %s, %v", took>>20, time.Since(began).Round(time.Millisecond), err)
			if took > most {
				t.Errorf("parsing %d MiB allocates %d MiB, the most is %d", len(raw.Bytes)>>20, took>>20, most>>20)
			}
		})
	}
}
