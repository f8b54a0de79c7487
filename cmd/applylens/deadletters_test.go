package main

import (
	"strings"
	"testing"

	"github.com/applylens/applylens/internal/testkit/world"
)

// addLetter inserts an open dead letter of the group weights.
const addLetter = `
INSERT INTO dead_letters (group_name, version, cluster_id, topic, topic_id, partition, log_offset, value_bytes, reason, detail, key, value, headers)
VALUES ('weights', 1, 'c', 'applylens.actions', gen_random_uuid(), 0, 0, 5, 'key', $1, 'ann', 'value', '[]')
RETURNING id`

// TestDeadLettersAreOfTheirGroup checks that every command on a dead letter wants the group that it is of, and that nothing
// that a record contains controls the terminal.
func TestDeadLettersAreOfTheirGroup(t *testing.T) {
	w := world.New(t).Kfake()
	settle(w, t)
	id := number(world.Scalar[int64](w, addLetter, hostile))
	f := func(status int, want string, args ...string) {
		t.Helper()
		got := call(append([]string{"deadletters"}, args...)...)
		if got.status != status || !strings.Contains(got.stdout+got.stderr, want) || strings.ContainsAny(got.stdout+got.stderr, "\x1b\u009b\u202e") {
			t.Errorf("deadletters %s: status %d\n%q\n%q", strings.Join(args, " "), got.status, got.stdout, got.stderr)
		}
	}
	f(0, "a\uFFFD[2J", "list", "weights")
	f(0, `"detail": "a\u001b[2J\u009b31m\u202e\nOK"`, "show", "weights", id)
	for _, verb := range [][]string{{"show"}, {"redrive"}, {"discard", "--reason", "test"}} {
		f(1, "dead letter "+id+" is one of weights, not of mailbox", append(verb, "mailbox", id)...)
		f(1, "no such dead letter: 99", append(verb, "weights", "99")...)
	}
	if state := world.Scalar[string](w, "SELECT state FROM dead_letters"); state != "open" {
		t.Errorf("the wrong group left the dead letter %s", state)
	}
	f(2, "--state", "list", "weights", "--state", "bogus")
	f(2, "--limit", "list", "weights", "--limit", "0")
	f(1, `ever had the cause "typo"`, "list", "weights", "--cause", "typo")
	f(0, "ID", "list", "weights", "--cause", "key", "--state", "discarded")
	f(2, "--reason is empty", "discard", "weights", id, "--reason", " ")
	f(0, "discarded", "discard", "weights", id, "--reason", hostile)
	for _, query := range []string{"SELECT reason FROM position_audit", "SELECT state_note FROM dead_letters"} {
		if text := world.Scalar[string](w, query); strings.ContainsAny(text, "\x1b\u009b\u202e\n") || !strings.Contains(text, "31m") {
			t.Errorf("%s: %q", query, text)
		}
	}
}

// Partitions that do not exist are refused, whatever is asked of them.
func TestPositionsOfNothingAreRefused(t *testing.T) {
	w := world.New(t).Kfake()
	settle(w, t)
	f := func(status int, want string, args ...string) {
		t.Helper()
		got := call(append([]string{"positions"}, append(args, "--reason", "test")...)...)
		if got.status != status || !strings.Contains(got.stdout+got.stderr, want) {
			t.Errorf("positions %s: status %d\n%s%s", strings.Join(args, " "), got.status, got.stdout, got.stderr)
		}
	}
	f(1, "no partition 99", "skip", "weights", "applylens.actions/99", "--to", "0")
	f(1, "no partition 99", "skip", "weights", "applylens.actions/99", "--to", "0", "--yes")
	f(1, "ends at 0, below 7", "skip", "weights", "applylens.actions/0", "--to", "7")
	f(1, "no partition 99", "rewind", "weights", "applylens.actions/99", "--to", "0")
	f(1, "no such position", "adopt", "weights", "applylens.actions/99")
	f(2, "not a partition of the group's topic", "skip", "weights", "applylens.mail/0", "--to", "0")
}
