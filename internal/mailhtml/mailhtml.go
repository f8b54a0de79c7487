// Package mailhtml makes a document of a mail's HTML that is safe to show and loads nothing: no scripts, forms, frames, images or style
// sheets, and no address in any attribute that a browser would follow. It knows nothing of mail or of HTTP; who serves the document
// gives it a policy of its own as well, since a rule of this package may turn out to be wrong.
//
// Time and memory are proportional to the source, also in the browser that shows it: elements are nested at most maxDepth deep,
// and each is closed.
package mailhtml

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	// maxDepth is how deep elements are nested. What is deeper loses its elements and keeps its text.
	maxDepth = 100

	// maxValue bounds the value of an attribute, so that no declaration is long to parse.
	maxValue = 2000
)

// head begins the document. Mail expects a light ground, whatever the page around it has. Tables made for a wide window may become
// narrower, and words break before they are cut off.
const head = `<!doctype html>
<html lang="und">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mail as sent</title>
<style>
html { color-scheme: light; background: #fff; color: #171b22; }
body { margin: 16px; font: 15px/1.45 system-ui, sans-serif; overflow-wrap: break-word; }
table { max-width: 100%; }
pre { white-space: pre-wrap; }
</style>
</head>
<body dir="auto">
`

const foot = "\n</body>\n</html>\n"

// Document returns the HTML of a mail as a document of its own.
func Document(source string) []byte {
	return []byte(head + Sanitize(source) + foot)
}

// Sanitize returns what may be shown of the HTML of a mail, to stand within a body.
//
// Links are not links any more: the frame in which the document stands may open no window, and a link that replaced the frame's
// document would show another site where a mail is expected. A link is underlined, and says its address as a title; who shows the
// document lists the addresses beside it. Images are replaced by the text that stands for them.
func Sanitize(source string) string {
	p := &plainer{}
	tokens := html.NewTokenizer(strings.NewReader(source))
	for tokens.Next() != html.ErrorToken { // the end: a string has no other errors
		p.take(tokens)
	}
	for range len(p.open) {
		p.close()
	}
	var out strings.Builder
	_ = allowed.SanitizeReaderToWriter(strings.NewReader(p.out.String()), &out) // a string and a builder have no errors
	return out.String()
}

// plainer rewrites a document, before rules decide what may stay, so that they see a balanced one of bounded depth: without what has
// content that is no text, with the texts of images, and with bodies and links as elements that mean nothing.
type plainer struct {
	out     strings.Builder
	open    []string // elements, the innermost last
	skipped bool     // the next token is content of an element that is left out
}

func (p *plainer) take(tokens *html.Tokenizer) {
	token := tokens.Token()
	switch token.Type {
	case html.TextToken:
		if !p.skipped {
			p.out.WriteString(html.EscapeString(token.Data))
		}
		p.skipped = false
	case html.StartTagToken, html.SelfClosingTagToken:
		p.skipped = raw[token.DataAtom]
		if token.DataAtom == atom.Noscript {
			tokens.NextIsNotRawText() // mail is shown without scripts
		}
		p.begin(&token)
	case html.EndTagToken:
		p.skipped = false
		p.end(nameOf(&token))
	}
}

// raw are the elements whose content the tokenizer returns as one text, which no reader sees.
var raw = map[atom.Atom]bool{
	atom.Script: true, atom.Style: true, atom.Title: true, atom.Iframe: true, atom.Noframes: true, atom.Noembed: true, atom.Textarea: true,
	atom.Xmp: true, atom.Plaintext: true,
}

// void are the elements without an end that may stay.
var void = map[string]bool{"br": true, "hr": true, "col": true, "wbr": true}

// nameOf returns the name under which an element goes on.
func nameOf(token *html.Token) string {
	switch token.DataAtom {
	case atom.Body:
		return "div" // for its colours
	case atom.A:
		return "u"
	}
	return token.Data
}

func (p *plainer) begin(token *html.Token) {
	if token.DataAtom == atom.Img {
		if text := strings.TrimSpace(valueOf(token, "alt")); text != "" {
			p.out.WriteString(" " + html.EscapeString(text) + " ") // rows of icons have no spaces between them
		}
		return
	}
	name := nameOf(token)
	if !elements[name] || !void[name] && len(p.open) == maxDepth {
		return
	}
	kept := html.Token{Type: html.StartTagToken, Data: name}
	if target := strings.TrimSpace(valueOf(token, "href")); token.DataAtom == atom.A && target != "" && len(target) <= maxValue {
		kept.Attr = append(kept.Attr, html.Attribute{Key: "title", Val: target})
	}
	for _, a := range token.Attr {
		if attributes[a.Key] != nil && len(a.Val) <= maxValue {
			kept.Attr = append(kept.Attr, a)
		}
		if a.Key == "style" && isPlain(a.Val) {
			kept.Attr = append(kept.Attr, a)
		}
		if len(kept.Attr) == maxAttributes {
			break
		}
	}
	p.out.WriteString(kept.String())
	if !void[name] {
		p.open = append(p.open, name)
	}
}

// isPlain tells whether declarations are worth parsing: escapes and comments serve to hide something, and no harmless value nests brackets.
func isPlain(style string) bool {
	return len(style) <= maxValue && !strings.Contains(style, `\`) && !strings.Contains(style, "/*") && strings.Count(style, "(") <= maxBrackets
}

// maxBrackets is how many colours with brackets a style may have. Parsing brackets is costly.
const maxBrackets = 10

// maxAttributes is how many attributes of an element are looked at, of which a tag can have thousands.
const maxAttributes = 20

// end closes an element and those that are open within it. An end without a beginning means nothing.
func (p *plainer) end(name string) {
	for at := len(p.open) - 1; at >= 0; at-- {
		if p.open[at] == name {
			for len(p.open) > at {
				p.close()
			}
			return
		}
	}
}

// close closes the innermost element.
func (p *plainer) close() {
	last := len(p.open) - 1
	p.out.WriteString("</" + p.open[last] + ">")
	p.open = p.open[:last]
}

func valueOf(token *html.Token, name string) string {
	for _, a := range token.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
