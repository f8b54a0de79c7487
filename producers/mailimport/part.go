package mailimport

import (
	"bytes"
	"cmp"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/jhillyerd/enmime/v2/mediatype"
)

// Limits of a message's structure. Parts beyond them are left out, so that time and memory are proportional to the
// message's size.
const (
	maxDepth      = 20 // levels of parts, including those of forwarded messages
	maxParts      = 1000
	maxMediaType  = 4 << 10
	maxParameters = 50 // of a media type in bad form
)

// Limits of headers: the number of names in a message, the number of values per name, and the bytes of each value.
const (
	maxNames  = 5000
	maxValues = 100
	maxValue  = 64 << 10
)

// room is how many more parts and names of headers of a message are kept, including those of forwarded messages.
type room struct{ parts, names int }

// part is a message or a part of one.
type part struct {
	header     map[string][]string // unfolded, still encoded, by canonical names
	kind       string              // the media type, lower case; empty if none is given
	parameters map[string]string   // of the media type
	attachment bool                // it is to be saved, not shown
	name       string              // of the file
	body       []byte              // still encoded
	parts      []*part             // of a multipart
}

// parsePart parses a message or a part of one. Anything invalid is treated as text. It takes
// what it keeps from room.
func parsePart(raw []byte, depth int, room *room) *part {
	p := &part{}
	p.header, p.body = parseHeader(raw, room)
	p.kind, p.parameters = parseMediaType(p.get("Content-Type"))
	disposition, parameters := parseMediaType(p.get("Content-Disposition"))
	p.attachment = disposition == "attachment"
	p.name = decodeHeader(cmp.Or(parameters["filename"], p.parameters["name"]), "")
	if boundary := p.parameters["boundary"]; p.multipart() && boundary != "" && depth < maxDepth {
		pieces := splitParts(p.body, boundary, room.parts)
		room.parts -= len(pieces)
		for _, piece := range pieces {
			p.parts = append(p.parts, parsePart(piece, depth+1, room))
		}
	}
	return p
}

func (p *part) multipart() bool { return strings.HasPrefix(p.kind, "multipart/") }

// get returns the first value of a header, still encoded.
func (p *part) get(name string) string {
	if values := p.header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// content returns the body without its transfer encoding.
func (p *part) content() []byte {
	return decodeTransfer(p.body, p.get("Content-Transfer-Encoding"))
}

// base64 tells whether the body is in base64.
func (p *part) base64() bool {
	return strings.Contains(strings.ToLower(p.get("Content-Transfer-Encoding")), "base64")
}

// size returns how many bytes the part has, decoded, also where the message was too long to be kept whole.
func (p *part) size(of *Raw) int64 {
	if !p.base64() {
		return int64(len(p.content()))
	}
	digits := int64(0)
	for _, b := range p.body {
		if isBase64(rune(b)) {
			digits++
		}
	}
	if begin, ok := indexWithin(of.Bytes, p.body); ok {
		for _, left := range of.left {
			if left.at >= begin && left.at <= begin+len(p.body) {
				digits += left.digits
			}
		}
	}
	return digits * 3 / 4
}

// indexWithin returns where a part of an array begins that was sliced from the whole, if it was.
func indexWithin(whole, part []byte) (index int, ok bool) {
	whole, rest := whole[:cap(whole)], part[:cap(part)]
	if len(rest) == 0 || len(rest) > len(whole) || &rest[len(rest)-1] != &whole[len(whole)-1] {
		return 0, false
	}
	return len(whole) - len(rest), true
}

// The forms of a media type and of parameters, as people and programs write them: without the semicolon, with a comma or a
// colon in its place, in quotes, or with the name of the header once more.
var (
	mediaType = regexp.MustCompile(`(?i)^(?:content-type:)?[\s"'(]*([a-z*][a-z0-9*.+-]*)\s*[/\\]\s*([a-z0-9*][a-z0-9!#$&^_.+*-]*)?`)
	oneWord   = regexp.MustCompile(`^[\s"'(]*([A-Za-z0-9_.-]+)`)
	parameter = regexp.MustCompile(`([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s;,"]+))`)
)

// parseMediaType parses a Content-Type or Content-Disposition, and what can be understood of one in bad form.
func parseMediaType(value string) (kind string, parameters map[string]string) {
	value = value[:min(len(value), maxMediaType)]
	rest := value
	if found := mediaType.FindStringSubmatchIndex(value); found != nil {
		kind, rest = value[found[2]:found[3]]+"/", value[found[1]:]
		switch {
		case found[4] >= 0:
			kind += value[found[4]:found[5]]
		case strings.EqualFold(kind, "text/"):
			kind += "plain"
		}
	} else if found := oneWord.FindStringSubmatchIndex(value); found != nil {
		kind, rest = value[found[2]:found[3]], value[found[1]:]
	}
	rest = strings.TrimLeft(rest, "\"' \t,;:)")
	_, parameters, _, _ = mediatype.ParseWithOptions("a/b; "+rest, mediatype.ParseOptions{StripMediaTypeInvalidCharacters: true})
	if parameters == nil {
		parameters = map[string]string{}
	}
	if strings.Count(rest, "=") > len(parameters) || strings.ContainsAny(parameters["charset"]+parameters["boundary"], `"`) {
		for _, found := range parameter.FindAllStringSubmatch(rest, maxParameters) {
			if name := strings.ToLower(found[1]); parameters[name] == "" || parameters[name][0] == '"' {
				parameters[name] = found[2] + found[3]
			}
		}
	}
	if charset := parameters["charset"]; charset != "" { // "utf-8, format=flowed", "utf-8 (Unicode)"
		parameters["charset"], _, _ = strings.Cut(strings.TrimLeft(charset, " "), " ")
		parameters["charset"] = strings.TrimRight(parameters["charset"], ",;")
	}
	return strings.ToLower(kind), parameters
}

// parseHeader splits off the header. It ends at an empty line, or at a line that is not a header if no header follows it:
// some senders forget the empty line, and others fold without a leading blank.
func parseHeader(raw []byte, room *room) (header map[string][]string, body []byte) {
	header = map[string][]string{}
	name, value := "", []byte(nil)
	finish := func() {
		values, known := header[name]
		if name == "" || len(values) == maxValues || !known && room.names == 0 {
			return
		}
		if header[name] = append(values, string(bytes.TrimSpace(value))); !known {
			room.names--
		}
	}
	for len(raw) > 0 {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		switch colon := headerColon(line); {
		case len(line) == 0:
			finish()
			return header, rest
		case colon > 0:
			finish()
			name = textproto.CanonicalMIMEHeaderKey(string(bytes.TrimRight(line[:colon], " \t")))
			value = append(value[:0], line[colon+1:min(len(line), colon+1+maxValue)]...)
		case line[0] == ' ' || line[0] == '\t' || headerColon(rest) > 0 || bytes.HasPrefix(line, []byte("From ")):
			if room := maxValue - len(value); room > 1 && !bytes.HasPrefix(line, []byte("From ")) {
				line = bytes.TrimSpace(line)
				value = append(append(value, ' '), line[:min(len(line), room-1)]...)
			}
		default:
			finish()
			return header, raw
		}
		raw = rest
	}
	finish()
	return header, nil
}

// headerColon returns the index of the colon if text begins with a header, and -1 otherwise.
func headerColon(text []byte) int {
	end := 0
	for end < len(text) && text[end] > ' ' && text[end] <= '~' && text[end] != ':' {
		end++
	}
	name := end
	for end < len(text) && (text[end] == ' ' || text[end] == '\t') {
		end++
	}
	if name == 0 || end == len(text) || text[end] != ':' {
		return -1
	}
	return end
}

// splitParts splits the body of a multipart at its boundary, into most parts. An unclosed last part ends with the body.
func splitParts(body []byte, boundary string, most int) [][]byte {
	var parts [][]byte
	mark := []byte("--" + strings.TrimRight(boundary, " \t"))
	begin := -1 // of the current part
	for at := 0; len(parts) < most; {
		start := bytes.Index(body[at:], mark)
		if start < 0 {
			break
		}
		start += at
		line, _, _ := bytes.Cut(body[start+len(mark):], []byte("\n"))
		at = min(start+len(mark)+len(line)+1, len(body))
		rest, closed := bytes.CutPrefix(line, []byte("--"))
		if start > 0 && body[start-1] != '\n' || len(bytes.TrimSpace(rest)) > 0 {
			continue
		}
		if begin >= 0 {
			parts = append(parts, body[begin:max(start-1, begin)])
		}
		if begin = at; closed {
			return parts
		}
	}
	if begin >= 0 && len(parts) < most {
		parts = append(parts, body[begin:])
	}
	return parts
}
