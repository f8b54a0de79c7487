package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCommand(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	tests := []struct {
		name, script string
		want         int
		fails        bool
	}{
		{name: "status 0", script: "exit 0", want: 0},
		{name: "status is returned", script: "exit 7", want: 7},
		{name: "a command killed by a signal failed", script: "kill -9 $$", want: 1, fails: true},
		{name: "variables are set", script: "echo $DATABASE_URL >" + seen, want: 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, err := runCommand(t.Context(), []string{"sh", "-c", test.script}, []string{"DATABASE_URL=here"})
			if status != test.want || (err != nil) != test.fails {
				t.Errorf("status %d, %v; want %d", status, err, test.want)
			}
		})
	}
	text, err := os.ReadFile(seen)
	if err != nil || strings.TrimSpace(string(text)) != "here" {
		t.Errorf("the command saw %q (%v), want here", text, err)
	}
}

func TestSignalEndsTheCommand(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ready := filepath.Join(t.TempDir(), "ready")
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(ready); err == nil {
				cancel()
			}
		}
	}()
	began := time.Now()
	status, _ := runCommand(ctx, []string{"sh", "-c", `trap "exit 5" TERM; touch ` + ready + `; while :; do sleep 0.1; done`}, nil)
	if status != 5 {
		t.Errorf("status %d after %s, want the 5 of the command's own end", status, time.Since(began))
	}
}

// TestGivenServersAreUsed needs no server: with all variables set, none is searched for or started.
func TestGivenServersAreUsed(t *testing.T) {
	for _, name := range []string{"DATABASE_URL", "PG_BIN", "KAFKA_BROKERS", "KAFKA_CLASSPATH", "ELASTICSEARCH_URL", "ELASTICSEARCH_HOME", "LIBFAKETIME", "CONFLUENT_KAFKA", "KAFKAJS", "JDK_BIN", "CHROMIUM", "AXE", "DOVECOT_HOME"} {
		t.Setenv(name, "given")
	}
	servers, err := startServers(t.Context(), true, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(servers.environment) != 0 || len(servers.closers) != 0 {
		t.Errorf("%v was started", servers.environment)
	}
}
