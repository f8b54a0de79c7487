package events

import "time"

// Fields returns the paths of all known members of the payload of t, including nested objects, and whether each is
// required.
func Fields(t Type) map[string]bool {
	nested := map[field]*shape{fieldMail: &mailRefShape, fieldSender: &addressShape, fieldRecipients: &addressShape,
		fieldTo: &addressShape, fieldCc: &addressShape, fieldAttachments: &attachmentShape}
	paths := make(map[string]bool)
	collect(&shapes[t], "", nested, paths)
	return paths
}

func collect(s *shape, prefix string, nested map[field]*shape, paths map[string]bool) {
	for f := fieldNone + 1; f < fieldCount; f++ {
		if !s.knows(f) {
			continue
		}
		paths[prefix+fieldNames[f]] = s.required.has(f)
		if inner := nested[f]; inner != nil && prefix == "" {
			collect(inner, fieldNames[f]+".", nil, paths)
		}
	}
}

// ParseTime is parseTime.
func ParseTime(text string) (time.Time, bool) { return parseTime([]byte(text)) }

// Interned counts the texts that d remembers, and their bytes.
func (d *Decoder) Interned() (texts, bytes int) {
	for _, text := range d.slots {
		if text != "" {
			texts, bytes = texts+1, bytes+len(text)
		}
	}
	return texts, bytes
}
