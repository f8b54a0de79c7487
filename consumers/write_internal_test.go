package consumers

import (
	"context"
	"testing"
	"time"
)

// A transaction that may take long does not keep a process from ending, and one that may not has its time.
func TestWhatEndsATransaction(t *testing.T) {
	w := &worker{s: &session{cfg: &Config{BatchDeadline: time.Millisecond, process: t.Context()}}, deadline: time.Hour}
	generation, end := context.WithCancel(t.Context())
	tx, cancel := w.limited(generation)
	defer cancel()
	if err := tx.Err(); err != nil {
		t.Fatal(err)
	}
	end()
	select {
	case <-tx.Done():
	case <-time.After(time.Minute):
		t.Error("the transaction goes on for an hour")
	}
	w.s.cfg.BatchDeadline = time.Hour
	tx, cancel = w.limited(generation)
	defer cancel()
	if err := tx.Err(); err != nil {
		t.Errorf("a usual one ends with its generation: %v", err)
	}
	w.s.cfg.process = generation
	tx, cancel = w.limited(generation)
	defer cancel()
	select {
	case <-tx.Done():
	case <-time.After(time.Minute):
		t.Error("a usual one keeps its process from ending")
	}
}
