package imapbox

import (
	"net"
	"sync/atomic"
	"time"
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
	left  atomic.Int64
	heard atomic.Int64 // when the server was last heard of, in nanoseconds
}

// allow sets how much the server may send from now on.
func (b *bounded) allow(bytes int64) {
	b.left.Store(bytes)
	b.heard.Store(time.Now().UnixNano())
}

// closeWhenSilent closes the connection when the server has not been heard of for a time, until stop is called, which tells whether
// it did.
func (b *bounded) closeWhenSilent(most time.Duration) (stop func() bool) {
	var closed atomic.Bool
	ended := make(chan struct{})
	go func() {
		for wait := most; wait > 0; wait = most - time.Since(time.Unix(0, b.heard.Load())) {
			select {
			case <-ended:
				return
			case <-time.After(wait):
			}
		}
		closed.Store(true)
		b.Close()
	}()
	return func() bool {
		close(ended)
		return closed.Load()
	}
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	b.heard.Store(time.Now().UnixNano())
	if b.left.Add(-int64(n)) < 0 {
		return 0, errTooMuch
	}
	return n, err
}
