package mailimport

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"

	"github.com/applylens/applylens/events"
)

// maxForwarded is how many messages within a message are read.
const maxForwarded = 20

// body is the content of a message apart from its header.
type body struct {
	text        strings.Builder
	links       []link
	attachments []string // their names, including those of forwarded messages
	charset     string   // the first one declared by a text
	guessed     string   // of a text that declares none
	rich        bool     // some of the text was HTML
	forwarded   int
	room        *room
}

// add reads a part and its subparts, in order.
func (b *body) add(p *part, depth int) {
	switch {
	case p.kind == "message/rfc822":
		b.forward(p, depth)
	case p.attachment:
		b.attachments = append(b.attachments, p.name)
	case p.kind == "multipart/alternative" && len(p.parts) > 0:
		b.alternative(p, depth)
	case len(p.parts) > 0:
		for _, inner := range p.parts {
			if p.kind == "multipart/digest" && inner.kind == "" {
				inner.kind = "message/rfc822"
			}
			b.add(inner, depth+1)
		}
	case strings.HasPrefix(p.kind, "text/") && !structured[p.kind], p.multipart(), !strings.Contains(p.kind, "/"), p.misnamed():
		b.read(p)
	default:
		b.attachments = append(b.attachments, p.name)
	}
}

// understood are the families of media types that are known, and those that anybody may invent.
var understood = regexp.MustCompile(`^(?:text|multipart|message|application|image|audio|video|font|model|chemical|x-[^/]*)/`)

// misnamed tells whether a part is text by all but its media type, which is of no family that there is.
func (p *part) misnamed() bool {
	return !understood.MatchString(p.kind) && p.name == "" && bytes.IndexByte(p.content(), 0) < 0
}

// structured are text types that are data, or an alternative form of a page.
var structured = map[string]bool{"text/calendar": true, "text/vcard": true, "text/x-vcard": true, "text/directory": true, "text/css": true,
	"text/csv": true, "text/rtf": true, "text/x-amp-html": true, "text/watch-html": true}

// alternative adds the plain form of a text, unless it is empty or only refers to another form.
func (b *body) alternative(p *part, depth int) {
	var plain, rich string
	for _, form := range p.parts {
		one := body{charset: b.charset, guessed: b.guessed, forwarded: b.forwarded, room: b.room}
		one.add(form, depth+1)
		b.links = append(b.links, one.links...)
		b.attachments = append(b.attachments, one.attachments...)
		b.charset, b.guessed, b.forwarded = one.charset, one.guessed, one.forwarded
		switch text := one.text.String(); {
		case one.rich:
			rich = text
		case plain == "":
			plain = text
		}
	}
	if plain == "" || len(plain) < 1000 && len(rich) > 4*len(plain) {
		plain, b.rich = rich, true
	}
	b.write(plain)
}

// forward adds the message within a part.
func (b *body) forward(p *part, depth int) {
	if b.forwarded++; b.forwarded > maxForwarded || depth >= maxDepth {
		return
	}
	root := parsePart(p.content(), depth+1, b.room)
	inner := message{root: root, charset: b.charset}
	b.write("From: " + inner.get("From") + "\nSubject: " + inner.get("Subject"))
	b.add(root, depth+1)
}

// read adds a part that is text.
func (b *body) read(p *part) {
	label := p.parameters["charset"]
	if b.charset == "" {
		b.charset = label
	}
	content := p.content()
	if label == "" && b.guessed == "" && !utf8.Valid(content) {
		b.guessed, _ = htmlindex.Name(guess(content))
	}
	if p.kind != "text/html" && !isHTML.Match(content) {
		b.write(decodeText(content, label))
		return
	}
	if label == "" {
		if found := metaCharset.FindSubmatch(content[:min(len(content), 4<<10)]); found != nil {
			label = string(found[1])
		}
	}
	text, links := readPage(decodeText(content, label), events.MaxText)
	b.rich, b.links = true, append(b.links, links...)
	b.write(text)
}

var (
	// isHTML recognises an HTML document declared as plain text.
	isHTML = regexp.MustCompile(`(?i)^\s*<(?:!doctype html|html)\b`)

	metaCharset = regexp.MustCompile(`(?i)charset\s*=\s*["']?([a-z0-9_:.-]+)`)
)

// write appends a text after an empty line.
func (b *body) write(text string) {
	text = strings.Trim(strings.ReplaceAll(text, "\r\n", "\n"), "\r\n")
	if strings.TrimSpace(text) == "" || b.text.Len() > events.MaxText {
		return
	}
	if b.text.Len() > 0 {
		b.text.WriteString("\n\n")
	}
	b.text.WriteString(text)
}
