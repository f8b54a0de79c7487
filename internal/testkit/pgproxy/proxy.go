// Package pgproxy is a proxy for PostgreSQL that injects faults into COMMITs: it drops the response, drops the request, or
// delays the response. It implements just enough of the wire protocol (version 3, without TLS) to find every COMMIT, in
// the simple and the extended protocol.
//
// Hang lets connections fall silent.
//
// A Schedule assigns faults to COMMITs, so that a seed repeats a run. Only a COMMIT that is a statement of its own counts;
// everything else passes through unchanged.
package pgproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/applylens/applylens/internal/retry"
)

// Fault is what happens to a COMMIT.
type Fault int

// The faults.
const (
	None       Fault = iota
	AckEaten         // the server commits; the client's connection is reset before the response
	DropBefore       // the server never receives the COMMIT; both connections are reset
	Freeze           // the server commits; the response is delayed
)

// Schedule returns the fault of the n-th COMMIT, counted from 1 over all connections. It must be safe for concurrent use.
type Schedule func(n int) Fault

// Healthy is the schedule without faults.
func Healthy(int) Fault { return None }

// Always returns the schedule with the same fault for every COMMIT.
func Always(fault Fault) Schedule { return func(int) Fault { return fault } }

// Seeded returns a schedule in which each fault has the given probability. The fault of COMMIT n depends only on seed and n.
func Seeded(seed uint64, rates map[Fault]float64) Schedule {
	return func(n int) Fault {
		draw := rand.New(rand.NewPCG(seed, uint64(n))).Float64()
		for _, fault := range []Fault{AckEaten, DropBefore, Freeze} {
			if draw -= rates[fault]; draw < 0 {
				return fault
			}
		}
		return None
	}
}

// Counts are the COMMITs and faults so far.
type Counts struct {
	Commits    int64 // all, with and without faults
	AckEaten   int64 // committed by the server, response dropped
	DropBefore int64
	Frozen     int64
}

// Proxy accepts connections until it is closed. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	upstream string
	freeze   time.Duration
	schedule atomic.Pointer[Schedule]
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	commits, ackEaten, dropBefore, frozen atomic.Int64

	mu   sync.Mutex
	hung chan struct{} // closed when the connections that were open then are to fall silent
}

// Start listens on a free loopback port and forwards to upstream (host:port). Frozen responses are delayed by freeze.
func Start(upstream string, freeze time.Duration, schedule Schedule) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for PostgreSQL clients: %w", err)
	}
	p := &Proxy{listener: listener, upstream: upstream, freeze: freeze, hung: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.Obey(schedule)
	p.running.Go(p.accept)
	return p, nil
}

// Obey replaces the schedule. The count of COMMITs continues.
func (p *Proxy) Obey(schedule Schedule) { p.schedule.Store(&schedule) }

// Hang lets every connection that is open now fall silent, and none that is opened later, as a fail-over does that leaves
// connections hanging: they stay open, and nothing passes in either direction.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.hung)
	p.hung = make(chan struct{})
}

func (p *Proxy) hanging() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hung
}

// URL returns databaseURL with the proxy's address in place of the server's.
func (p *Proxy) URL(databaseURL string) (string, error) {
	parsed, err := url.Parse(databaseURL)
	if err != nil {
		return "", fmt.Errorf("parse database URL: %w", err)
	}
	parsed.Host = p.listener.Addr().String()
	return parsed.String(), nil
}

// Counts returns the counts so far.
func (p *Proxy) Counts() Counts {
	return Counts{Commits: p.commits.Load(), AckEaten: p.ackEaten.Load(), DropBefore: p.dropBefore.Load(), Frozen: p.frozen.Load()}
}

// Close ends all connections and waits for them.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.listener.Close()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(conn) })
	}
}

// serve forwards one connection until either side ends it.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.upstream)
	if err != nil {
		reset(client) // like a server that is down
		return
	}
	defer server.Close()
	s := &session{proxy: p, client: client, server: server, statements: map[string]bool{}, portals: map[string]bool{}, asked: 1, hung: p.hanging()}
	stop := context.AfterFunc(p.ctx, s.sever)
	defer stop()
	if err := s.startup(); err != nil {
		return
	}
	var replies sync.WaitGroup
	replies.Go(func() {
		if err := s.replies(); errors.Is(err, io.EOF) {
			client.Close()
		} else {
			s.sever()
		}
	})
	if err := s.requests(); errors.Is(err, io.EOF) {
		server.Close()
	} else {
		s.sever()
	}
	replies.Wait()
}

// fault returns the fault of the next COMMIT.
func (p *Proxy) fault() Fault {
	return (*p.schedule.Load())(int(p.commits.Add(1)))
}

// wait waits for as long as a frozen response is delayed.
func (p *Proxy) wait() { _ = retry.Wait(p.ctx, p.freeze) }

// reset closes conn so that the peer sees a connection reset.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}
