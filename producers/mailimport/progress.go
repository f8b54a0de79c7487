package mailimport

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Meter prints the progress of an import: an updated bar on a terminal, and a line at intervals elsewhere.
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
func (m *Meter) Update(status Status) {
	now := m.now()
	m.last = m.describe(status, now.Sub(m.began))
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

// Finish completes the progress line with its last state.
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

// describe formats counts, rate and, if the total is known, the share done and the remaining time; on a terminal with a
// bar, within 80 columns.
func (m *Meter) describe(s Status, elapsed time.Duration) string {
	seconds := max(elapsed.Seconds(), 0.001)
	line := fmt.Sprintf("%d messages, %s, %.0f/s", s.Imported+s.Broken, size(s.Read), float64(s.Imported+s.Broken)/seconds)
	if s.Broken > 0 {
		line += fmt.Sprintf(", %d broken", s.Broken)
	}
	if s.Total <= 0 || s.Read <= 0 {
		return line
	}
	share := min(float64(s.Read)/float64(s.Total), 1)
	line = fmt.Sprintf("%3.0f %% %s%s", share*100, m.bar(share), line)
	if fresh := s.Read - s.Passed; fresh > 0 { // skipped messages would distort the estimate
		left := time.Duration(seconds / float64(fresh) * float64(max(s.Total-s.Read, 0)) * float64(time.Second))
		line += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return line
}

func (m *Meter) bar(share float64) string {
	if !m.terminal {
		return ""
	}
	const width = 16
	done := int(share * width)
	return "[" + strings.Repeat("=", done) + strings.Repeat(" ", width-done) + "] "
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
