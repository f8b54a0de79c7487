package mailimport

import "github.com/applylens/applylens/internal/hypertext"

// link is a link of a page: its text and its target.
type link struct{ text, target string }

// readPage returns the text of an HTML document, up to limit bytes, and its links.
func readPage(source string, limit int) (text string, links []link) {
	text, found := hypertext.Read(source, limit)
	for _, l := range found {
		links = append(links, link{l.Text, l.Target})
	}
	return text, links
}
