package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// hostile is text that would clear a terminal, colour it, reverse it and begin a new line.
const hostile = "a\x1b[2J\u009b31m\u202e\nOK"

func TestTablesAndJSONDoNotControlTheTerminal(t *testing.T) {
	value := map[string]string{"text": hostile}
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		if err := (output{JSON: asJSON}).print(&out, value, []string{"TEXT"}, [][]string{{hostile}}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\x1b\u009b\u202e") || !asJSON && strings.Count(out.String(), "\n") != 2 {
			t.Errorf("printed %q", &out)
		}
		if !asJSON {
			continue
		}
		var read map[string]string
		if err := json.Unmarshal(out.Bytes(), &read); err != nil || read["text"] != hostile {
			t.Errorf("JSON %q is read as %q, %v", &out, read, err)
		}
	}
}

func TestErrorsAreToldOnALineEach(t *testing.T) {
	got := call("migrate", "--database-url", "postgres://nobody@127.0.0.1:1/none?sslmode=prefer")
	if got.status != 1 || strings.Count(got.stderr, "\n") != 1 || strings.Count(got.stderr, "connection refused") != 1 {
		t.Errorf("status %d, %q", got.status, got.stderr)
	}
	got = call("user", "erase", hostile, "--yes", "--database-url", "postgres://nobody@127.0.0.1:1/none")
	if strings.ContainsAny(got.stderr, "\x1b\u009b\u202e") {
		t.Errorf("printed %q", got.stderr)
	}
}
