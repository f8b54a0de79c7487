package outbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Channel is the PostgreSQL notification channel on which a relay of another process is woken.
const Channel = "applylens_outbox"

// notifyRelay wakes listeners. It never runs in the transaction of a decision: PostgreSQL commits transactions that notify
// one at a time, under a lock of the whole server.
const notifyRelay = `NOTIFY ` + Channel

const (
	notifyEvery   = 2 * time.Millisecond
	notifyTimeout = 2 * time.Second
)

// Signal wakes a relay of the same process. Signals that are not received yet count as one.
type Signal struct{ c chan struct{} }

// NewSignal returns a signal that is not set.
func NewSignal() *Signal { return &Signal{c: make(chan struct{}, 1)} }

// Set sets the signal. It never blocks.
func (s *Signal) Set() {
	select {
	case s.c <- struct{}{}:
	default:
	}
}

// C receives once for any number of Set since the last receive.
func (s *Signal) C() <-chan struct{} { return s.c }

// Waker tells the relay that events were committed, to save the wait for its next poll. It is safe for concurrent use and
// must not be copied after the first Wake.
type Waker struct {
	// Pool sends a NOTIFY to relays of other processes. Default: none is sent.
	Pool *pgxpool.Pool

	// Signal wakes a relay of this process. Default: none is woken.
	Signal *Signal

	mu      sync.Mutex
	pending bool      // a NOTIFY will be sent that covers everything committed until now
	last    time.Time // when the last one was sent
}

// Wake is called after the commit. It returns at once, and sends at most one NOTIFY per 2 ms.
func (w *Waker) Wake() {
	if w.Signal != nil {
		w.Signal.Set()
	}
	if w.Pool == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending {
		return
	}
	w.pending = true
	time.AfterFunc(time.Until(w.last.Add(notifyEvery)), w.notify)
}

func (w *Waker) notify() {
	w.mu.Lock()
	w.pending, w.last = false, time.Now() // from here on a Wake needs a NOTIFY of its own
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
	defer cancel()
	if _, err := w.Pool.Exec(ctx, notifyRelay); err != nil {
		slog.Debug("relay not notified", "error", err)
	}
}
