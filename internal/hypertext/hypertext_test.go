package hypertext

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	f := func(name, source, want string) {
		t.Run(name, func(t *testing.T) {
			if got, _ := Read(source, 1000); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	f("inline markup", "<p>Hello <b>you</b>,\n  how <i>are</i>you</p>", "Hello you, how areyou")
	f("blocks", "<h1>A</h1><p>b</p><div>c</div><div>d</div>e<br>f", "A\n\nb\n\nc\nd\ne\nf")
	f("list", "<ul><li>one</li><li>two</li></ul>", "- one\n- two")
	f("table", "<table><tr><td>Total</td><td>$5</td></tr><tr><td>Tax</td><td>$1</td></tr></table>", "Total $5\nTax $1")
	f("preformatted", "<pre>a\r\n  b</pre> c  d", "a\n  b\n\nc d")
	f("entities", "caf&eacute; &amp; &#8364;5 &lt;x&gt; &nosuch;", "café & €5 <x> &nosuch;")
	f("padding with blanks", "Hi&nbsp;&zwnj;&nbsp;&#8203;\u034f\u00ad there", "Hi \u200c there")
	f("nothing visible", "<html><head><title>t</title><style>p{}</style><script>x<y</script></head><!-- c --></html>", "")
	f("script without an end", "a<script>b", "a")
	f("comment without an end", "a<!-- b", "a")
	f("self-closing script", "a<script/>b</script>c", "ac")
	f("text for readers without scripts", "<noscript><p>a <b>b</b></p></noscript>", "a b")
	f("conditional comment", "a<!--[if mso]><p>b</p><![endif]-->c", "ac")
	f("text of a picture", `<img src=x alt="Our logo"> a`, "Our logo a")
	f("link", `see <a href="https://x.example/y">here</a>.`, "see here <https://x.example/y> .")
	f("link that shows its address", `<a href="https://x.example/">https://x.example</a>`, "https://x.example")
	f("link without its scheme", `<a href="http://www.x.example/">www.x.example</a>`, "www.x.example")
	f("mail link", `<a href="mailto:a@b">write</a>`, "write <mailto:a@b>")
	f("link to nowhere", `<a href="javascript:x()">a</a> <a href="#top">b</a> <a name=x>c</a>`, "a b c")
	f("long link", `<a href="https://x.example/`+strings.Repeat("z", maxShownLink)+`">a</a>`, "a")
	f("unclosed link", `<a href="https://x.example/1">a <a href="https://x.example/2">b`, "a <https://x.example/1> b <https://x.example/2>")
	f("no markup at all", "a < b", "a < b")
	f("cut in a tag", "a <b", "a")
	f("empty", "", "")
}

func TestReadFindsLinks(t *testing.T) {
	_, links := Read(`<a href=" http://203.0.113.7/x ">www.bank.example</a><a href="https://a.example"><img alt="Shop"></a>`, 1000)
	want := []Link{{"www.bank.example", "http://203.0.113.7/x"}, {"Shop", "https://a.example"}}
	if diff := cmp.Diff(want, links); diff != "" {
		t.Error(diff)
	}
}

// TestReadPageIsBounded checks that neither nesting nor length makes a page expensive.
func TestReadIsBounded(t *testing.T) {
	deep := strings.Repeat("<div>", 200_000) + "a" + strings.Repeat("</div>", 200_000)
	if text, _ := Read(deep, 1000); text != "a" {
		t.Errorf("got %d bytes", len(text))
	}
	if text, _ := Read(strings.Repeat("word <br>", 100_000), 1000); len(text) < 1000 || len(text) > 1010 {
		t.Errorf("got %d bytes", len(text))
	}
	if _, links := Read(strings.Repeat("<a href=x>y</a>", 10_000), 100_000); len(links) != maxLinks {
		t.Errorf("got %d links", len(links))
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`<p>a<script>b</script><a href="https://x">c</a><pre>d`)
	f.Fuzz(func(t *testing.T, source string) {
		text, links := Read(source, 500)
		if text != strings.TrimSpace(text) || len(links) > maxLinks {
			t.Errorf("%q, %d links", text, len(links))
		}
	})
}
