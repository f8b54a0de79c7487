package mailimport

import (
	"bytes"
	"cmp"
	"net/textproto"
	"strings"

	"github.com/jhillyerd/enmime/v2/mediatype"
)

// The limits of a message's structure. What lies beyond is left out, so that no message costs much more time or memory
// than its bytes.
const (
	maxDepth     = 20 // levels of parts, those of forwarded messages too
	maxParts     = 1000
	maxMediaType = 4 << 10
)

// The limits of what is kept of a header: the first values of each name, and the bytes of each value.
const (
	maxValues = 100
	maxValue  = 64 << 10
)

// part is a message or a part of one.
type part struct {
	header     map[string][]string // unfolded, still encoded, by canonical names
	kind       string              // the media type, lower case; empty when none is given
	parameters map[string]string   // of the media type
	attachment bool                // it is to be saved, not shown
	name       string              // of the file
	body       []byte              // still encoded
	parts      []*part             // of a multipart
}

// parsePart takes a message or part of one apart. Whatever cannot be understood is text.
func parsePart(raw []byte, depth int) *part {
	p := &part{}
	p.header, p.body = parseHeader(raw)
	p.kind, p.parameters = parseMediaType(p.get("Content-Type"))
	disposition, parameters := parseMediaType(p.get("Content-Disposition"))
	p.attachment = disposition == "attachment"
	p.name = decodeHeader(cmp.Or(parameters["filename"], p.parameters["name"]), "")
	if boundary := p.parameters["boundary"]; p.multipart() && boundary != "" && depth < maxDepth {
		for _, piece := range splitParts(p.body, boundary) {
			p.parts = append(p.parts, parsePart(piece, depth+1))
		}
	}
	return p
}

func (p *part) multipart() bool { return strings.HasPrefix(p.kind, "multipart/") }

// get returns the first value of a header, as it stands in the message.
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

// parseMediaType reads a Content-Type or Content-Disposition as far as it can be understood.
func parseMediaType(value string) (string, map[string]string) {
	value = value[:min(len(value), maxMediaType)]
	kind, parameters, _, err := mediatype.ParseWithOptions(value, mediatype.ParseOptions{StripMediaTypeInvalidCharacters: true})
	if err != nil {
		kind, _, _ = strings.Cut(value, ";")
	}
	return strings.ToLower(strings.TrimSpace(kind)), parameters
}

// parseHeader cuts the header off. It ends at an empty line, or at a line that is no header and behind which none
// follows: senders forget the empty line, and others fold without the blank.
func parseHeader(raw []byte) (header map[string][]string, body []byte) {
	header = map[string][]string{}
	name, value := "", []byte(nil)
	finish := func() {
		if values := header[name]; name != "" && len(values) < maxValues {
			header[name] = append(values, string(bytes.TrimSpace(value)))
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

// headerColon returns where the colon stands when text begins with a header, and -1 otherwise.
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

// splitParts cuts the body of a multipart at its boundary. A last part that is not closed ends with the body.
func splitParts(body []byte, boundary string) [][]byte {
	var parts [][]byte
	mark := []byte("--" + strings.TrimRight(boundary, " \t"))
	begin := -1 // of the part that is open
	for at := 0; len(parts) < maxParts; {
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
	if begin >= 0 && len(parts) < maxParts {
		parts = append(parts, body[begin:])
	}
	return parts
}
