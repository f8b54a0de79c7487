package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/recordcheck"
)

// ran runs a command with a text as standard input.
func ran(t *testing.T, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	in, err := os.Open(written(t, input))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	was := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = was }()
	var out, errs bytes.Buffer
	status = run(t.Context(), args, &out, &errs)
	return status, out.String(), errs.String()
}

// written returns a file with the text.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSamplesOfAllTypesAndFormsAreValid(t *testing.T) {
	status, types, stderr := ran(t, "", "events", "sample")
	if status != 0 || len(strings.Fields(types)) != len(events.Types()) {
		t.Fatalf("status %d: %s%s", status, types, stderr)
	}
	all := ""
	for _, name := range strings.Fields(types) {
		for _, form := range []string{"", "--structured", "--record", "--payload"} {
			args := []string{"events", "sample", name, form}
			validate := []string{"events", "validate", "--partitions=6", "-"}
			if form == "" {
				args = args[:3]
			}
			if form == "--payload" {
				validate = append(validate, "--type", name)
			}
			_, sample, _ := ran(t, "", args...)
			status, out, stderr := ran(t, sample, validate...)
			if status != 0 || out != "1 record, 1 valid, 0 with faults\n" || stderr != "" {
				t.Errorf("%v: status %d: %s%s\n%s", args, status, out, stderr, sample)
			}
			if form != "--payload" {
				all += sample
			}
		}
	}
	if status, out, _ := ran(t, all, "events", "validate", "-"); status != 0 || out != "33 records, 33 valid, 0 with faults\n" {
		t.Errorf("all in one file: status %d: %s", status, out)
	}
}

func TestValidateTellsEveryFault(t *testing.T) {
	_, good, _ := ran(t, "", "events", "sample", "applylens.preference.changed.v1", "--record")
	path := written(t, good+`{"specversion":"1.0","id":"pin-1","source":"/payments","type":"applylens.preference.changed.v1","data":`+
		`{"user_id":"","op":"pin","weight":101,"recorded_at":"yesterday"}}`+"\n"+`{"specversion":`+"\n"+good)
	status, out, stderr := ran(t, "", "events", "validate", path)
	want := path + `:2: record 2 (applylens.preference.changed.v1, id pin-1) has 4 faults
  schema: recorded_at is not an RFC 3339 time. Correct it: the producer's database clock when the event was written (a time such as 2026-03-01T12:00:00Z).
  schema: user_id is empty. Correct it: opaque id of the user; the key of the record. Deployments should not use addresses (text of 1 to 200 bytes).
  schema: weight is not within -100..100. Correct it: the weight to pin; ignored for forget and reset (a number, -100 to 100).
  schema: feature is empty. Correct it: the feature to pin or to forget; ignored for reset (text of 0 to 300 bytes).
` + path + `:3: record 3 has 1 fault
  malformed: is not JSON: line 5, column 1: it ends in the middle. Write each record with a JSON library; reading goes on behind it.
4 records, 2 valid, 2 with faults
`
	if diff := cmp.Diff(want, out); diff != "" || status != 1 || stderr != "applylens: faults in 2 of 4 records\n" {
		t.Errorf("status %d, %s\n%s", status, stderr, diff)
	}

	status, out, _ = ran(t, "", "events", "validate", "--json", path)
	var reports []recordcheck.Report
	if err := json.Unmarshal([]byte(out), &reports); err != nil || status != 1 {
		t.Fatalf("status %d, %v: %s", status, err, out)
	}
	var valid []bool
	for _, r := range reports {
		valid = append(valid, r.Valid)
	}
	if diff := cmp.Diff([]bool{true, false, false, true}, valid); diff != "" || reports[1].Faults[2].Field != "weight" || reports[2].Line != 3 {
		t.Errorf("%s\n%s", diff, out)
	}
}

func TestValidateWithoutRecords(t *testing.T) {
	for _, args := range [][]string{{"events", "validate", "-"}, {"events", "validate", "--json", "-"}} {
		status, out, stderr := ran(t, " \n", args...)
		if status != 0 || !strings.Contains(stderr, "empty") {
			t.Errorf("%v: status %d: %s%s", args, status, out, stderr)
		}
		if args[2] == "--json" && out != "[]\n" || args[2] == "-" && out != "0 records, 0 valid, 0 with faults\n" {
			t.Errorf("%v: %s", args, out)
		}
	}
}

func TestWrongUsageOfEvents(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		status, _, stderr := ran(t, "", append([]string{"events"}, args...)...)
		if status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%v: status %d: %s", args, status, stderr)
		}
	}
	f("expected", "validate")
	f("no such file", "validate", filepath.Join(t.TempDir(), "missing"))
	f("is a directory", "validate", t.TempDir())
	f("--partitions: -1", "validate", "--partitions=-1", "-")
	f("did you mean applylens.mail.received.v1?", "validate", "--type=mail.received", "-")
	f("did you mean applylens.user.erased.v1?", "sample", "applylens.user.erasd.v1")
	f("lists the types", "sample", "com.example.order")
	f("lists the types", "sample", "applylens.void.v1")
	f("name a type", "sample", "--record")
	f("--record", "sample", "applylens.user.erased.v1", "--record", "--payload")
}

func TestValidateEndsWithItsContext(t *testing.T) {
	in, out, err := os.Pipe() // nobody ever writes
	if err != nil {
		t.Fatal(err)
	}
	was := os.Stdin
	os.Stdin = in
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if status := run(ctx, []string{"events", "validate", "-"}, &bytes.Buffer{}, &bytes.Buffer{}); status != 1 {
		t.Errorf("status %d", status)
	}
	os.Stdin = was
	out.Close()
}
