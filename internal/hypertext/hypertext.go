// Package hypertext reads HTML as a person who is shown it: its text in lines, and its links. It works on tokens, so that time and
// memory are proportional to the source, however it is nested.
package hypertext

import (
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Limits of a page: the number of links, and the bytes of an address that follows the link's text.
const (
	maxLinks      = 500
	maxShownLink  = 200
	maxLinkTarget = 2000
)

// Link is a link of a page: its text and its target.
type Link struct{ Text, Target string }

// page collects the visible text of an HTML document. It works on tokens, so that the depth of nesting does not matter.
type page struct {
	text  strings.Builder
	limit int
	links []Link

	space  bool // write a space before the next word
	breaks int  // line ends to write before the next word
	pre    int  // levels of preformatted text

	target string // of the open link
	from   int    // start of its text
}

// Read returns the text of an HTML document, up to limit bytes, and its links. Scripts, styles, comments and markup
// are left out. A link's address follows its text unless it is long or equal to the text.
func Read(source string, limit int) (text string, links []Link) {
	p := &page{limit: limit}
	tokens := html.NewTokenizer(strings.NewReader(source))
	skipped := false // the next token is the content of a script or the like
	for p.text.Len() <= limit {
		switch tokens.Next() {
		case html.ErrorToken: // the end: a string has no other errors
			p.closeLink()
			return strings.TrimSpace(p.text.String()), p.links
		case html.TextToken:
			if !skipped {
				p.words(string(tokens.Text()))
			}
			skipped = false
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := tokens.TagName()
			element := atom.Lookup(name)
			skipped = invisible[element]
			if element == atom.Noscript {
				tokens.NextIsNotRawText() // mail is shown without scripts
			}
			p.open(element, attributeOf(tokens, element, more))
		case html.EndTagToken:
			name, _ := tokens.TagName()
			skipped = false
			p.close(atom.Lookup(name))
		}
	}
	return strings.TrimSpace(p.text.String()), p.links
}

// invisible elements contain text that is not displayed. The tokenizer returns their content as one token.
var invisible = map[atom.Atom]bool{atom.Script: true, atom.Style: true, atom.Title: true, atom.Iframe: true, atom.Noframes: true, atom.Noembed: true}

// lineEnds are the line ends before and after the blocks of a page.
var lineEnds = map[atom.Atom]int{
	atom.P: 2, atom.H1: 2, atom.H2: 2, atom.H3: 2, atom.H4: 2, atom.H5: 2, atom.H6: 2, atom.Ul: 2, atom.Ol: 2, atom.Dl: 2, atom.Blockquote: 2,
	atom.Pre: 2, atom.Table: 2, atom.Hr: 2, atom.Center: 1, atom.Div: 1, atom.Tr: 1, atom.Dt: 1, atom.Dd: 1, atom.Option: 1, atom.Article: 1,
	atom.Section: 1, atom.Header: 1, atom.Footer: 1, atom.Address: 1, atom.Form: 1, atom.Fieldset: 1, atom.Body: 1, atom.Li: 1,
}

// open begins an element; value is that of its shown attribute.
func (p *page) open(element atom.Atom, value string) {
	p.breaks = max(p.breaks, lineEnds[element])
	switch element {
	case atom.Br:
		p.breaks++
	case atom.Td, atom.Th:
		p.space = true
	case atom.Li:
		p.words("- ")
	case atom.Pre:
		p.pre++
	case atom.Img:
		p.words(value)
	case atom.A:
		p.closeLink()
		p.target, p.from = strings.TrimSpace(value), p.text.Len()
	}
}

func (p *page) close(element atom.Atom) {
	p.breaks = max(p.breaks, lineEnds[element])
	switch element {
	case atom.Pre:
		p.pre = max(p.pre-1, 0)
	case atom.A:
		p.closeLink()
	}
}

// closeLink records the open link and writes its target.
func (p *page) closeLink() {
	target := p.target
	p.target = ""
	if target == "" || len(target) > maxLinkTarget || len(p.links) == maxLinks || p.text.Len() > p.limit {
		return
	}
	shown := strings.TrimSpace(p.text.String()[p.from:])
	p.links = append(p.links, Link{shown, target})
	scheme, rest, _ := strings.Cut(target, ":")
	rest = strings.Trim(rest, "/")
	known := strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "mailto")
	if known && len(target) <= maxShownLink && shown != "" && !strings.HasSuffix(strings.Trim(shown, "/"), rest) {
		p.space, p.breaks = true, 0
		p.words("<" + target + "> ")
	}
}

// words writes text with white space collapsed, except in preformatted text.
func (p *page) words(text string) {
	if p.pre > 0 {
		p.separate()
		p.text.WriteString(strings.ReplaceAll(text, "\r", ""))
		return
	}
	for text != "" {
		end := strings.IndexFunc(text, isBlank)
		if end != 0 {
			if end < 0 {
				end = len(text)
			}
			p.separate()
			p.text.WriteString(text[:end])
			text = text[end:]
			continue
		}
		p.space = true
		text = strings.TrimLeftFunc(text, isBlank)
	}
}

// isBlank reports white space, and the zero-width characters with which pages pad their first lines.
func isBlank(r rune) bool {
	return unicode.IsSpace(r) || r == '\u200b' || r == '\u034f' || r == '\ufeff' || r == '\u00ad'
}

// separate writes the pending line ends or space.
func (p *page) separate() {
	if p.text.Len() > 0 {
		if p.breaks > 0 {
			p.text.WriteString("\n\n"[:min(p.breaks, 2)])
		} else if p.space {
			p.text.WriteByte(' ')
		}
	}
	p.breaks, p.space = 0, false
}

// shown are the attributes that are read of elements.
var shown = map[atom.Atom]string{atom.Img: "alt", atom.A: "href"}

// attributeOf returns the shown attribute of an element. It keeps no other: a tag can have millions.
func attributeOf(tokens *html.Tokenizer, element atom.Atom, more bool) string {
	wanted := shown[element]
	for more && wanted != "" {
		var name, value []byte
		name, value, more = tokens.TagAttr()
		if string(name) == wanted {
			return string(value)
		}
	}
	return ""
}
