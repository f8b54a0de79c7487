package pgproxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// The requests before a session's first typed message.
const (
	cancelRequest = 80877102
	tlsRequest    = 80877103
	gssRequest    = 80877104
)

// largestMessage is the greatest length of a message: PostgreSQL's own limit is 1 GiB.
const largestMessage = 1 << 30

// errDropped ends a session whose COMMIT is dropped.
var errDropped = errors.New("COMMIT dropped")

// errEaten ends a session whose COMMIT succeeded, but whose response is dropped.
var errEaten = errors.New("acknowledgement eaten")

// session is a client's connection with its connection to the server.
type session struct {
	proxy          *Proxy
	client, server net.Conn
	hung           <-chan struct{} // closed when nothing is to pass any more

	// Used only by the goroutine of the requests: the prepared statements and portals that are a COMMIT, and the number
	// of exchanges that the client began before the current one. Each ends with a ReadyForQuery; the start-up is one.
	statements, portals map[string]bool
	asked               int

	// Used only by the goroutine of the replies: how many exchanges the server has completed.
	answered int

	// Guards pending, the COMMITs without a response, in order.
	mu      sync.Mutex
	pending []commit
}

// commit is a COMMIT that was forwarded in the exchange with the given number.
type commit struct {
	exchange int
	fault    Fault
}

func (s *session) sever() {
	reset(s.client)
	reset(s.server)
}

// startup forwards the first message. It refuses encryption, which the proxy could not read.
func (s *session) startup() error {
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(s.client, head); err != nil {
			return err
		}
		size, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		if code == tlsRequest || code == gssRequest {
			if _, err := s.client.Write([]byte{'N'}); err != nil {
				return err
			}
			continue
		}
		if size < 8 || size > largestMessage {
			return fmt.Errorf("startup message of %d bytes", size)
		}
		body := make([]byte, size-8)
		if _, err := io.ReadFull(s.client, body); err != nil {
			return err
		}
		if _, err := s.server.Write(append(head, body...)); err != nil || code == cancelRequest {
			return errors.Join(err, s.endIfCancel(code))
		}
		return nil
	}
}

// endIfCancel waits until the server has accepted a cancel request, which it signals by closing the connection.
func (s *session) endIfCancel(code uint32) error {
	if code != cancelRequest {
		return nil
	}
	_, _ = io.Copy(io.Discard, s.server)
	return io.EOF
}

// requests forwards the client's messages and applies the schedule to each COMMIT.
func (s *session) requests() error {
	in, out := bufio.NewReaderSize(s.client, 64<<10), bufio.NewWriterSize(s.server, 64<<10)
	for {
		message, err := read(in)
		if err != nil {
			return err
		}
		if s.isCommit(message) {
			fault := s.proxy.fault()
			if fault == DropBefore {
				s.proxy.dropBefore.Add(1)
				return errDropped
			}
			s.push(fault)
		}
		s.passOrHang()
		switch message[0] {
		case 'Q', 'S', 'F': // each ends with a ReadyForQuery: Query, Sync and FunctionCall
			s.asked++
		}
		if err := forward(message, in, out); err != nil {
			return err
		}
	}
}

// replies forwards the server's messages and applies the faults of COMMITs to their responses.
func (s *session) replies() error {
	in, out := bufio.NewReaderSize(s.server, 64<<10), bufio.NewWriterSize(s.client, 64<<10)
	for {
		message, err := read(in)
		if err != nil {
			return err
		}
		s.passOrHang()
		if err := s.spoil(message, out); err != nil {
			return err
		}
		if err := forward(message, in, out); err != nil {
			return err
		}
	}
}

// passOrHang returns at once, or when the proxy is closed if the session is to be silent.
func (s *session) passOrHang() {
	select {
	case <-s.hung:
		<-s.proxy.ctx.Done()
	default:
	}
}

// forward writes a message, and flushes if no other is buffered.
func forward(message []byte, in *bufio.Reader, out *bufio.Writer) error {
	if _, err := out.Write(message); err != nil {
		return err
	}
	if in.Buffered() > 0 {
		return nil
	}
	return out.Flush()
}

// spoil applies the fault of the COMMIT that message acknowledges. If the response is ROLLBACK or an error, nothing was
// committed, and there is no fault.
func (s *session) spoil(message []byte, out *bufio.Writer) error {
	if message[0] == 'Z' {
		s.answered++
	}
	if message[0] != 'C' || text(message[5:]) != "COMMIT" {
		return nil
	}
	switch s.pop() {
	case AckEaten:
		s.proxy.ackEaten.Add(1)
		return errEaten
	case Freeze:
		s.proxy.frozen.Add(1)
		if err := out.Flush(); err != nil {
			return err
		}
		s.proxy.wait()
	}
	return nil
}

func (s *session) push(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, commit{exchange: s.asked, fault: fault})
}

// pop returns the fault of the first pending COMMIT of the current exchange.
func (s *session) pop() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pending) > 0 && s.pending[0].exchange <= s.answered {
		first := s.pending[0]
		s.pending = s.pending[1:]
		if first.exchange == s.answered {
			return first.fault
		}
	}
	return None
}

// isCommit tracks prepared statements and portals, and reports whether message makes the server commit.
func (s *session) isCommit(message []byte) bool {
	body := message[5:]
	switch message[0] {
	case 'Q':
		return isCommitText(text(body))
	case 'P': // Parse: statement, query
		name := text(body)
		s.statements[name] = isCommitText(text(after(body)))
	case 'B': // Bind: portal, statement
		s.portals[text(body)] = s.statements[text(after(body))]
	case 'E': // Execute: portal
		return s.portals[text(body)]
	}
	return false
}

// isCommitText reports whether query is only a COMMIT.
func isCommitText(query string) bool {
	if len(query) > 64 {
		return false
	}
	words := strings.Fields(strings.ToLower(strings.TrimRight(query, "; \t\r\n")))
	switch strings.Join(words, " ") {
	case "commit", "commit work", "commit transaction", "end", "end work", "end transaction":
		return true
	}
	return false
}

// read returns the next complete message: type, length, body.
func read(in *bufio.Reader) ([]byte, error) {
	head, err := in.Peek(5)
	if err != nil {
		if len(head) > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > largestMessage {
		return nil, fmt.Errorf("message %q of %d bytes", head[0], size)
	}
	message := make([]byte, 1+size)
	_, err = io.ReadFull(in, message)
	return message, err
}

// text returns the zero-terminated string at the start of body.
func text(body []byte) string {
	end := bytes.IndexByte(body, 0)
	if end < 0 {
		return ""
	}
	return string(body[:end])
}

// after returns the rest of body after its first zero-terminated string.
func after(body []byte) []byte {
	_, rest, _ := bytes.Cut(body, []byte{0})
	return rest
}
