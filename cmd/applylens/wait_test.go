package main

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"
)

// warned calls a function when something is logged that is more than information.
type warned struct {
	mu   sync.Mutex
	text bytes.Buffer
	then func()
}

func (w *warned) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bytes.Contains(p, []byte("level=WARN")) {
		w.then()
	}
	return w.text.Write(p)
}

// A service that waits for its servers says so, and ends well when it is told to end.
func TestServicesEndWhileTheirServersAreAway(t *testing.T) {
	t.Setenv("KAFKA_BROKERS", "127.0.0.1:1")
	t.Setenv("DATABASE_URL", "postgres://nobody:secret@127.0.0.1:1/nothing?sslmode=disable")
	for _, args := range [][]string{
		{"consume", "weights", "mailbox", "--metrics-listen="},
		{"consume", "weights", "--metrics-listen=", "--metrics-user-label=off"},
		{"relay", "--metrics-listen="},
		{"index", "--metrics-listen=", "--elasticsearch-url=http://127.0.0.1:1"},
		{"warehouse", "run", "--metrics-listen=", "--warehouse-url=postgres://nobody:secret@127.0.0.1:1/nothing"},
	} {
		t.Run(args[0], func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ended := false
			log := &warned{then: func() { ended = true; cancel() }}
			if status := run(ctx, args, io.Discard, log); status != 0 || !ended {
				t.Errorf("status %d; log:\n%s", status, &log.text)
			}
		})
	}
}
