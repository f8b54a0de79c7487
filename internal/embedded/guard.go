package embedded

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The most bytes of a request: of a client, as in Kafka's socket.request.max.bytes, and of one that has not shown the password.
const (
	maxRequest      = 100 << 20
	maxFirstRequest = 64 << 10
)

// guard keeps from the broker's library what it cannot take, since it looks at a request before it knows who sends it: it
// allocates as many bytes as a request claims to have, and an unknown kind of request ends the process. It also completes the
// library's answers to handshakes.
type guard struct{ net.Listener }

func listenGuarded(network, address string) (net.Listener, error) {
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return guard{listener}, nil
}

// Accept implements net.Listener.
func (g guard) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guarded{Conn: conn, in: bufio.NewReader(conn)}, nil
}

// guarded is a connection whose requests are looked at before the library reads them. Read and Write are for one goroutine each.
type guarded struct {
	net.Conn
	in        *bufio.Reader
	rest      int          // bytes of the current request
	proofs    int          // requests that showed a part of the password: the second completes it, or ends the connection
	handshake atomic.Int64 // 1 and the correlation id of the last handshake; 0 before there was one
}

// Read implements net.Conn. It returns an error instead of a request that the library cannot take.
func (g *guarded) Read(p []byte) (int, error) {
	if g.rest == 0 {
		if err := g.begin(); err != nil {
			return 0, err
		}
	}
	n, err := g.in.Read(p[:min(len(p), g.rest)])
	g.rest -= n
	return n, err
}

// begin looks at the size and the kind of the next request.
func (g *guarded) begin() error {
	head, err := g.in.Peek(6)
	if err != nil {
		return err
	}
	size, kind := binary.BigEndian.Uint32(head), int16(binary.BigEndian.Uint16(head[4:]))
	most := uint32(maxFirstRequest)
	if g.proofs >= 2 {
		most = maxRequest
	}
	if size < 8 || size > most || kmsg.RequestForKey(kind) == nil {
		return fmt.Errorf("a request of kind %d with %d bytes", kind, size)
	}
	switch kind {
	case kmsg.SASLAuthenticate.Int16():
		g.proofs++
	case kmsg.SASLHandshake.Int16():
		if head, err = g.in.Peek(12); err != nil {
			return err
		}
		g.handshake.Store(1 + int64(binary.BigEndian.Uint32(head[8:])))
	}
	g.rest = 4 + int(size)
	return nil
}

// agreed is the library's answer to a handshake, behind the correlation id: no error, and no mechanisms.
const agreed = "\x00\x00\x00\x00\x00\x00"

// Write implements net.Conn for one whole answer, as the library writes them. The library lists the mechanisms only when it refuses
// one, as no broker does, and clients such as kafkajs look for theirs in the list.
func (g *guarded) Write(answer []byte) (int, error) {
	if len(answer) != 8+len(agreed) || string(answer[8:]) != agreed || 1+int64(binary.BigEndian.Uint32(answer[4:])) != g.handshake.Load() {
		return g.Conn.Write(answer)
	}
	response := kmsg.SASLHandshakeResponse{Version: 1, SupportedMechanisms: []string{mechanism}}
	complete := response.AppendTo(append(make([]byte, 4, 64), answer[4:8]...))
	binary.BigEndian.PutUint32(complete, uint32(len(complete)-4))
	if n, err := g.Conn.Write(complete); err != nil {
		return min(n, len(answer)), err
	}
	return len(answer), nil
}
