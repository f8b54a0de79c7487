package imapbox

import (
	"net"
	"sync/atomic"
)

// Bounds of what a server may send, in bytes as they come over the network.
const (
	answerBytes = 8 << 20   // in answer to a command that asks for little
	listBytes   = 128 << 20 // to one that asks for all UIDs of a folder, or their flags, which are taken one at a time
	idleBytes   = 8 << 20   // while nothing is asked
)

// bounded is a connection that fails when the server sends more than is left.
type bounded struct {
	net.Conn
	left atomic.Int64
}

// allow sets how much the server may send from now on.
func (b *bounded) allow(bytes int64) { b.left.Store(bytes) }

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if b.left.Add(-int64(n)) < 0 {
		return 0, errTooMuch
	}
	return n, err
}
