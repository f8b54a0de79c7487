package mailhtml

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// mostHTML is how much of a mail's HTML the mailbox keeps.
const mostHTML = 256 << 10

func TestSanitize(t *testing.T) {
	f := func(source, want string) {
		t.Helper()
		if got := Sanitize(source); got != want {
			t.Errorf("%s\n got %s\nwant %s", source, got, want)
		}
		check(t, Sanitize(source))
	}
	f(`<p>Hello <b>Ann</b></p>`, `<p>Hello <b>Ann</b></p>`)
	f(`plain &lt;text&gt; &amp; more`, `plain &lt;text&gt; &amp; more`)
	f(`<html><head><title>T</title><style>p{color:red}</style></head><body bgcolor="#000000" onload="x()"><p>a</body></html>`,
		`<div bgcolor="#000000"><p>a</p></div>`)

	// What runs, loads, sends or goes elsewhere.
	f(`<script>alert(1)</script>a`, `a`)
	f(`<script src="https://x.example/a.js"></script>a`, `a`)
	f(`<p onclick="x()" onmouseover=x()>a</p>`, `<p>a</p>`)
	f(`<img src="https://x.example/pixel.gif" alt="A &quot;boat&quot; <b>" onerror=alert(1)>`, ` A &#34;boat&#34; &lt;b&gt; `)
	f(`<img src=x>a`, `a`)
	f(`<form action="https://x.example"><input name=a value=b><button>Send</button></form>`, `Send`)
	f(`<iframe src="https://x.example">b</iframe>a`, `a`)
	f(`<iframe srcdoc="<script>alert(1)</script>"></iframe>a`, `a`)
	f(`<object data="x.swf"><embed src="x.swf">a</object>b`, `ab`)
	f(`<meta http-equiv="refresh" content="0;url=https://x.example">a`, `a`)
	f(`<base href="https://x.example/">a`, `a`)
	f(`<link rel="stylesheet" href="https://x.example/a.css">a`, `a`)
	f(`<svg><script>alert(1)</script><a xlink:href="javascript:alert(1)">a</a></svg>`, `<u>a</u>`)
	f(`<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>a`, `<table></table>a`)
	f(`<video src=x poster=y><source src=z>a</video>`, `a`)
	f(`<table background="https://x.example/a.png"><tr><td background=x>a</td></tr></table>`, `<table><tr><td>a</td></tr></table>`)
	f(`<noscript><p>a</p><img src=x onerror=alert(1)></noscript>`, `<p>a</p>`)
	f(`<textarea></textarea><script>alert(1)</script>`, ``)
	f(`<plaintext><script>alert(1)</script>`, ``)
	f(`<!--><img src=x onerror=alert(1)>-->a`, `--&gt;a`)
	f(`<![CDATA[<img src=x onerror=alert(1)>]]>a`, `]]&gt;a`)
	f(`<p id=a name=b class=c>a</p>`, `<p>a</p>`)

	// Links say where they lead, and lead nowhere.
	f(`<a href="https://x.example/?a=1&amp;b=2" target=_top>b</a>`, `<u title="https://x.example/?a=1&amp;b=2">b</u>`)
	f(`<a name=x>b</a>`, `<u>b</u>`)

	// Styles.
	f(`<p style="color: red; position: fixed; background: url(https://x.example/a.png); font-family: 'A B', serif; COLOR: RGB(1, 2, 3)">a</p>`,
		`<p style="color: red; font-family: &#39;A B&#39;, serif; COLOR: RGB(1, 2, 3)">a</p>`)
	for _, style := range []string{
		`background:url(x)`, `background: u\72l(x)`, `background: u/**/rl(x)`, `background-image: image-set("x" 1x)`, `width: expression(alert(1))`,
		`behavior: url(x)`, `-moz-binding: url(x)`, `color: var(--x)`, `width: calc(1px)`, `font: url(x)`, `content: "x"`, `color: red\;background:url(x)`, `x`, `@import "x"`,
		`list-style: url(x)`, `border: 1px solid attr(x)`, `background:\0075rl(x)`, `filter: blur(1px)`, `color: ` + strings.Repeat("a", maxValue),
	} {
		f(`<p style="`+html.EscapeString(style)+`">a</p>`, `<p>a</p>`)
	}

	// Every element is closed, in order.
	f(`<b><i>a</b>c</i>`, `<b><i>a</i></b>c`)
	f(`</div></body>a<div>b`, `a<div>b</div>`)
	f(`<br/>a<hr>`, `<br>a<hr>`)
}

func TestDocument(t *testing.T) {
	document := string(Document("<p>مرحبا</p>"))
	for _, part := range []string{"<!doctype html>", `<meta charset="utf-8">`, `dir="auto"`, "<p>مرحبا</p>"} {
		if !strings.Contains(document, part) {
			t.Errorf("the document lacks %s", part)
		}
	}
}

// hostile are sources of the largest size that are costly to whoever is careless.
func hostile() map[string]string {
	fill := func(part string) string { return strings.Repeat(part, mostHTML/len(part)) }
	distinct := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < mostHTML-200; i++ {
			fmt.Fprintf(&b, format, i%0xffffff)
		}
		return b.String()
	}
	return map[string]string{
		"divs": fill("<div>"), "tables": fill("<table><tr><td>"), "formatting": distinct(`<b style="color:#%06x"><p>`), "ends": fill("</b>"),
		"attributes": "<p " + distinct("a%d=b ") + ">", "styles": `<p style="` + fill("color:red;") + `">`, "many styles": fill(`<p style="color:red;margin:0 1px 2px">a`),
		"quotes": `<p style="` + fill("'") + `">`, "images": fill(`<img alt=a>`), "links": fill(`<a href=b>c`), "text": fill("a "), "entities": fill("&lt;"),
		"angles": fill("<"), "comments": fill("<!--"), "scripts": fill("<script>"), "unknown": fill("<x>"), "nested lists": fill("<ul><li>"),
		"whole styles": fill(`<p style="` + strings.Repeat("color:red;", maxValue/10) + `">`), "brackets": fill(`<p style="` + strings.Repeat("(", maxValue) + `">`),
	}
}

// TestHostileSources: what is sent to a browser is not much longer than the source, and nested no deeper than the limit.
func TestHostileSources(t *testing.T) {
	for name, source := range hostile() {
		t.Run(name, func(t *testing.T) {
			got := Sanitize(source)
			if len(got) > 8*len(source) {
				t.Errorf("%d bytes became %d", len(source), len(got))
			}
			check(t, got)
		})
	}
}

func BenchmarkSanitize(b *testing.B) {
	for name, source := range hostile() {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.SetBytes(int64(len(source)))
			for b.Loop() {
				Sanitize(source)
			}
		})
	}
}

func FuzzSanitize(f *testing.F) {
	for _, seed := range []string{
		`<p style="color:red;background:url(x)" onclick=x>a<img src=x onerror=y alt="<b>"></p>`, `<a href="javascript:x">a</a><svg><style><img src=x></style></svg>`,
		`<b><i>a</b></i><table><td><form><math><mi><annotation-xml encoding="text/html"><script>x</script>`, `<!--><p title="</p><script>x</script>">`,
		"<p style='font-family:\"a\\\"b;color:u\\72l(x)'>\x00</p>", `<noscript><p title="</noscript><img src=x onerror=y>">`, `<title><a href="</title><img src=x onerror=y>">`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) { check(t, Sanitize(source)) })
}

// check fails on anything in sanitised HTML that is not on lists written here, apart from the code's: as tokens, which is how it is written,
// and as the tree that a browser makes of it.
func check(t *testing.T, sanitized string) {
	t.Helper()
	tokens := html.NewTokenizer(strings.NewReader(sanitized))
	var open []string
	for tokens.Next() != html.ErrorToken {
		token := tokens.Token()
		switch token.Type {
		case html.StartTagToken:
			checkElement(t, token.Data, token.Attr)
			if !strings.Contains(" br hr col wbr ", " "+token.Data+" ") {
				open = append(open, token.Data)
			}
			if len(open) > maxDepth {
				t.Fatalf("nested %d deep", len(open))
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("</%s> closes %v in %s", token.Data, open, brief(sanitized))
			}
			open = open[:len(open)-1]
		case html.TextToken:
		default:
			t.Fatalf("%s is there: %s", token.Type, brief(sanitized))
		}
	}
	if len(open) > 0 {
		t.Fatalf("%v are not closed in %s", open, brief(sanitized))
	}
	tree, err := html.Parse(strings.NewReader(string(Document(""))[:strings.Index(string(Document("")), "</body>")] + sanitized))
	if err != nil {
		t.Fatalf("%v: %s", err, brief(sanitized))
	}
	inBody := false
	for node := range tree.Descendants() {
		switch {
		case node.Type == html.ElementNode && node.Data == "body":
			inBody = true
		case inBody && node.Type == html.ElementNode:
			if node.Namespace != "" {
				t.Fatalf("%s:%s is there", node.Namespace, node.Data)
			}
			checkElement(t, node.Data, node.Attr)
		case inBody && node.Type == html.CommentNode:
			t.Fatalf("a comment is there: %s", brief(sanitized))
		}
	}
}

const (
	harmlessElements = ` address article b bdi bdo big blockquote br caption center cite code col colgroup dd del div dl dt em footer font h1 h2 h3 h4 h5 h6 header hr i ins
		kbd li main mark ol p pre q s samp section small span strike strong sub sup table tbody td tfoot th thead tr tt u ul wbr `
	harmlessAttributes = ` align valign dir lang width height border cellpadding cellspacing colspan rowspan start size bgcolor color face title style `
)

func checkElement(t *testing.T, name string, attributes []html.Attribute) {
	t.Helper()
	if !listed(harmlessElements, name) {
		t.Fatalf("<%s> is there", name)
	}
	for _, a := range attributes {
		value := strings.ToLower(a.Val)
		switch {
		case a.Namespace != "" || !listed(harmlessAttributes, a.Key) || strings.HasPrefix(a.Key, "on"):
			t.Fatalf("<%s> has %s=%q", name, a.Key, a.Val)
		case a.Key == "title" && name != "u":
			t.Fatalf("<%s> has a title", name)
		case a.Key != "title" && strings.ContainsAny(value, `\:<>{}@/*`) && a.Key != "style":
			t.Fatalf("<%s> has %s=%q", name, a.Key, a.Val)
		case a.Key == "style":
			checkStyle(t, value)
		}
	}
}

func checkStyle(t *testing.T, style string) {
	t.Helper()
	if strings.ContainsAny(style, `\<>{}@/*`) {
		t.Fatalf("the style %q is there", style)
	}
	for _, bad := range []string{"url", "expression", "image", "position", "behavior", "binding", "var(", "calc(", "attr(", "javascript", "import"} {
		if at := strings.Index(style, bad); at >= 0 && (strings.HasSuffix(bad, "(") || strings.HasPrefix(style[at+len(bad):], "(") || strings.HasPrefix(style[at+len(bad):], ":")) {
			t.Fatalf("the style %q is there", style)
		}
	}
}

func listed(list, name string) bool {
	return slices.Contains(strings.Fields(list), name)
}

func brief(text string) string { return text[:min(len(text), 500)] }
