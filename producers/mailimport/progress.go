package mailimport

import (
	"fmt"
	"io"
	"time"
)

// Meter writes the progress of an import: one line that changes on a terminal, and elsewhere a line now and then.
type Meter struct {
	out      io.Writer
	terminal bool
	now      func() time.Time
	every    time.Duration
	began    time.Time
	written  time.Time
	last     string
	waiting  bool
}

// NewMeter returns a meter that writes to out.
func NewMeter(out io.Writer, terminal bool, now func() time.Time) *Meter {
	every := 10 * time.Second
	if terminal {
		every = 100 * time.Millisecond
	}
	return &Meter{out: out, terminal: terminal, now: now, every: every, began: now(), written: now()}
}

// Update implements Progress.
func (m *Meter) Update(messages, broken int, read, total int64) {
	now := m.now()
	m.last = describe(messages, broken, read, total, now.Sub(m.began))
	if now.Sub(m.written) < m.every {
		return
	}
	m.written = now
	m.write(m.last)
}

// Waiting implements Progress.
func (m *Meter) Waiting(waiting bool) {
	if waiting && !m.waiting && m.terminal {
		m.write(m.last + "  waiting for Kafka")
	}
	m.waiting = waiting
}

// Finish ends the changing line with its last state.
func (m *Meter) Finish() {
	if m.terminal && m.last != "" {
		m.write(m.last)
		fmt.Fprintln(m.out)
	}
}

func (m *Meter) write(line string) {
	if m.terminal {
		fmt.Fprintf(m.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(m.out, line)
}

// describe tells counts, rate and, when the total is known, the share done and the time that is left.
func describe(messages, broken int, read, total int64, elapsed time.Duration) string {
	seconds := max(elapsed.Seconds(), 0.001)
	line := fmt.Sprintf("%d messages, %s, %.0f/s", messages, size(read), float64(messages)/seconds)
	if broken > 0 {
		line += fmt.Sprintf(", %d broken", broken)
	}
	if total <= 0 || read <= 0 {
		return line
	}
	share := min(float64(read)/float64(total), 1)
	left := time.Duration(seconds / share * (1 - share) * float64(time.Second))
	return fmt.Sprintf("%3.0f %%  %s, %s left", share*100, line, left.Round(time.Second))
}

func size(bytes int64) string {
	const unit = 1024
	value, name := float64(bytes), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, next
	}
	if name == "B" {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, name)
}
