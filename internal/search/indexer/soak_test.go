package indexer

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// fillMails makes mails of 100 persons as the mailbox fold would have stored them, 2 kB of text each.
const fillMails = `
INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain, recipients, list_id,
    received_at, category, quarantined, labels, text, truncated, content_hash, updated_at, parties, companies)
SELECT 1, md5(n::text)::uuid, 'user' || n % 100, n::text, '', 'About ' || n, 'rita@acme.com', 'Rita', 'acme.com', '{}', '',
    now() - n * interval '1 minute', 'personal', false, '{}',
    repeat('word' || n % 1000 || ' and some more words of mail number ' || n || ' ', 40), false, 0, now(), '{rita@acme.com}', '{acme}'
FROM generate_series($1::int, $2::int) n`

// maxMiB is what an indexer takes of memory at most, however many mails there are.
const maxMiB = 128

// TestMemoryDoesNotGrowWithTheMails fills an index of a large mailbox by the real process. SOAK makes it a million.
func TestMemoryDoesNotGrowWithTheMails(t *testing.T) {
	count, long := 20_000, 5*time.Minute
	if os.Getenv("SOAK") != "" {
		count, long = 1_000_000, time.Hour
	}
	w := newDeployment(t)
	for first := 1; first <= count; first += 20_000 {
		w.Exec(fillMails, first, min(first+19_999, count))
	}
	command, ended := w.process()
	began, peak := time.Now(), 0
	for {
		peak = max(peak, peakMiB(t, command))
		settled, err := Settled(t.Context(), w.Pool, "", time.Now(), time.Now())
		w.Must(err)
		if settled {
			break
		}
		select {
		case <-ended:
			t.Fatal("the process ended")
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(began) > long {
			t.Fatalf("not indexed after %v: %s", long, w.marks())
		}
	}
	took := time.Since(began)
	t.Logf("%d mails in %v, %.0f a second, %d MiB", count, took.Round(time.Second), float64(count)/took.Seconds(), peak)
	if n := w.count(); n != count {
		t.Errorf("%d documents of %d mails", n, count)
	}
	if peak > maxMiB {
		t.Errorf("the process took %d MiB, at most %d are allowed", peak, maxMiB)
	}
}

// peakMiB reads the most memory that a process has had resident.
func peakMiB(t *testing.T, command *exec.Cmd) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", command.Process.Pid))
	if err != nil {
		t.Skipf("this system does not tell the memory of a process: %v", err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	amount, _, _ := bytes.Cut(rest, []byte("kB"))
	kibibytes, err := strconv.Atoi(string(bytes.TrimSpace(amount)))
	if err != nil {
		t.Fatal(err)
	}
	return kibibytes >> 10
}
