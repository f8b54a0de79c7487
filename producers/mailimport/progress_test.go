package mailimport

import (
	"bytes"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	now := importTime
	var out bytes.Buffer
	meter := NewMeter(&out, false, func() time.Time { return now })
	now = now.Add(9 * time.Second)
	meter.Update(Status{Result: Result{Imported: 10}, Read: 1 << 20, Total: 4 << 20})
	now = now.Add(time.Second)
	meter.Update(Status{Result: Result{Imported: 19, Broken: 1}, Read: 2 << 20, Total: 4 << 20})
	meter.Finish()
	if want := " 50 % 20 messages, 2.0 MiB, 2/s, 1 broken, 10s left\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestMeterOnATerminal(t *testing.T) {
	now := importTime
	var out bytes.Buffer
	meter := NewMeter(&out, true, func() time.Time { return now })
	now = now.Add(time.Second)
	meter.Update(Status{Result: Result{Imported: 5}, Read: 100})
	meter.Waiting(true)
	meter.Waiting(true)
	meter.Finish()
	line := "\r\x1b[K5 messages, 100 B, 5/s"
	if want := line + line + "  waiting for Kafka" + line + "\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// TestMeterJudgesByWhatIsNew checks that skipping half of the file does not affect the estimate for the other half.
func TestMeterJudgesByWhatIsNew(t *testing.T) {
	now := importTime
	var out bytes.Buffer
	meter := NewMeter(&out, true, func() time.Time { return now })
	now = now.Add(10 * time.Second)
	meter.Update(Status{Result: Result{Passed: 500, Imported: 250}, Read: 750 << 10, Passed: 500 << 10, Total: 1000 << 10})
	if want := "\r\x1b[K 75 % [============    ] 250 messages, 750.0 KiB, 25/s, 10s left"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if len(out.String()) > 80 {
		t.Errorf("a line of %d characters", len(out.String()))
	}
}
