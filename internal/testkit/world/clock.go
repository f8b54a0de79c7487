package world

import "time"

// Noon is when events of these tests happen.
var Noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// Now returns what the clock was set to; it is the machine's clock before SetClock.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	if w.now.IsZero() {
		return time.Now()
	}
	return w.now
}

// SetClock lets the clock stand still at a time.
func (w *World) SetClock(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = at
}

// Advance moves a clock that was set.
func (w *World) Advance(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(by)
}

// AwaitLooks waits until somebody has looked at the clock so many times more.
func (w *World) AwaitLooks(times int) {
	w.Helper()
	looks := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.looks
	}
	before := looks()
	w.Eventually("the clock is looked at", func() error {
		n := looks() - before
		return Want(n >= times, "%d times", n)
	})
}
