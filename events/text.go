package events

import (
	"strings"
	"unicode/utf8"
)

// CleanText returns text as valid UTF-8 without NUL, cut at the last whole rune within limit bytes.
func CleanText(text string, limit int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
