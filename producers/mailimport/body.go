package mailimport

import (
	"bytes"
	"cmp"
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
	page        string              // the first HTML of the message itself
	calendar    string              // the first text/calendar of the message itself
	attachments []events.Attachment // including those of forwarded messages
	charset     string              // the first one declared by a text
	guessed     string              // of a text that declares none
	rich        bool                // some of the text was HTML
	encoded     bool                // some was in base64 though it is ASCII and not said to be UTF-8
	forwarded   int
	within      int // levels of forwarded messages
	room        *room
	source      *Raw
}

// add reads a part and its subparts, in order.
func (b *body) add(p *part, depth int) {
	switch {
	case p.kind == "message/rfc822":
		b.forward(p, depth)
	case p.attachment:
		b.attach(p)
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
		b.attach(p)
	}
}

// attach adds a file.
func (b *body) attach(p *part) {
	if p.kind == "text/calendar" && b.calendar == "" && b.within == 0 {
		b.calendar = ifShort(decodeText(p.content(), p.parameters["charset"]), events.MaxCalendar)
	}
	if len(b.attachments) < events.MaxAttachments {
		b.attachments = append(b.attachments, events.Attachment{
			Name: events.CleanText(p.name, events.MaxAttachmentName), Type: events.CleanText(p.kind, events.MaxMediaType), Size: p.size(b.source),
		})
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
		one := body{charset: b.charset, guessed: b.guessed, forwarded: b.forwarded, within: b.within, room: b.room, source: b.source}
		one.add(form, depth+1)
		b.links = append(b.links, one.links...)
		b.attachments = append(b.attachments, one.attachments[:min(len(one.attachments), events.MaxAttachments-len(b.attachments))]...)
		b.page, b.calendar = cmp.Or(b.page, one.page), cmp.Or(b.calendar, one.calendar)
		b.charset, b.guessed, b.forwarded = one.charset, one.guessed, one.forwarded
		b.encoded = b.encoded || one.encoded
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
	b.within++
	b.add(root, depth+1)
	b.within--
}

// read adds a part that is text.
func (b *body) read(p *part) {
	label := p.parameters["charset"]
	if b.charset == "" {
		b.charset = label
	}
	content := p.content()
	b.encoded = b.encoded || p.base64() && !strings.EqualFold(label, "utf-8") && len(content) > 0 && countHigh(content) == 0
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
	page := decodeText(content, label)
	if b.page == "" && b.within == 0 {
		b.page = ifShort(page, events.MaxHTML)
	}
	text, links := readPage(page, events.MaxText)
	b.rich, b.links = true, append(b.links, links...)
	b.write(text)
}

var (
	// isHTML recognises an HTML document declared as plain text.
	isHTML = regexp.MustCompile(`(?i)^\s*<(?:!doctype html|html)\b`)

	metaCharset = regexp.MustCompile(`(?i)charset\s*=\s*["']?([a-z0-9_:.-]+)`)
)

// ifShort returns a text, empty if it has more than most bytes.
func ifShort(text string, most int) string {
	if text = events.CleanText(text, len(text)*len(replacement)); len(text) > most {
		return ""
	}
	return text
}

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
