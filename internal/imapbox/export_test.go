package imapbox

import (
	"maps"

	"github.com/emersion/go-imap/v2"
)

// Forget lets the server have no such extension.
func (b *Box) Forget(name string) {
	b.caps = maps.Clone(b.caps)
	delete(b.caps, imap.Cap(name))
	delete(b.caps, imap.CapIMAP4rev2)
}
