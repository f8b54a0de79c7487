package main

import (
	"fmt"
	"io"
	"time"
)

// rowMeter prints the progress of a sync: one updated line on a terminal, and a line at intervals elsewhere.
type rowMeter struct {
	out      io.Writer
	terminal bool
	now      func() time.Time
	every    time.Duration
	began    time.Time
	written  time.Time
	any      bool
}

func newRowMeter(out io.Writer, terminal bool, now func() time.Time) *rowMeter {
	m := &rowMeter{out: out, terminal: terminal, now: now, every: 10 * time.Second, began: now(), written: now()}
	if terminal {
		m.every = 200 * time.Millisecond
	}
	return m
}

// Update implements warehouse.Progress.
func (m *rowMeter) Update(done, total int64) {
	now := m.now()
	if now.Sub(m.written) < m.every {
		return
	}
	m.written, m.any = now, true
	line := progressLine(done, total, now.Sub(m.began))
	if m.terminal {
		fmt.Fprintf(m.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(m.out, line)
}

// finish clears the progress line; the summary follows.
func (m *rowMeter) finish() {
	if m.terminal && m.any {
		fmt.Fprint(m.out, "\r\x1b[K")
	}
}

// progressLine formats the share done and the remaining time, if the total is known.
func progressLine(done, total int64, elapsed time.Duration) string {
	if total <= 0 || done <= 0 {
		return fmt.Sprintf("reading the warehouse, %s so far", elapsed.Round(time.Second))
	}
	share := min(float64(done)/float64(total), 1)
	left := time.Duration(float64(elapsed) / share * (1 - share))
	return fmt.Sprintf("reading the warehouse: %3.0f %%, about %s left", share*100, left.Round(time.Second))
}
