package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/applylens/applylens/internal/config"
)

// helpOf returns what a command prints with --help.
func helpOf(t *testing.T, command ...string) string {
	t.Helper()
	var text strings.Builder
	parser, err := newParser(&commandLine{}, kong.Writers(&text, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = parser.Parse(append(command, "--help"))
	return text.String()
}

// inOrder requires that text contains the parts one after the other.
func inOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		at := strings.Index(rest, part)
		if at < 0 {
			t.Fatalf("%q is not after what should come before it:\n%s", part, text)
		}
		rest = rest[at+len(part):]
	}
}

func TestHelpShowsACommandsOwnFlagsFirst(t *testing.T) {
	inOrder(t, helpOf(t, "positions", "skip"), "Flags:", "--reason", "--to", "--yes", "Connections:", "--kafka-brokers", "--database-url")
	inOrder(t, helpOf(t, "import"), "Flags:", "--user", "--restart", "Connections:", "--kafka-brokers", "--database-url")
	parser, err := newParser(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		for _, flag := range leaf.Flags {
			for _, prefix := range []string{"kafka-", "database-", "elasticsearch-", "topic-prefix"} {
				if strings.HasPrefix(flag.Name, prefix) && (flag.Group == nil || flag.Group.Key != "Connections:") {
					t.Errorf("%s: --%s is not among the connections", leaf.Path(), flag.Name)
				}
			}
		}
	}
}

func TestHelpNamesDefaults(t *testing.T) {
	dir, err := config.DataDir()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(helpOf(t, "up")), " ")
	for _, want := range []string{usualListen, dir, `"hash"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the help of up does not name %s:\n%s", want, text)
		}
	}
	for command, want := range map[string]string{"relay": relayMetrics, "index": indexMetrics, "api": usualListen} {
		if text := helpOf(t, command); !strings.Contains(text, want) {
			t.Errorf("the help of %s does not name %s:\n%s", command, want, text)
		}
	}
}

func TestEmptyPathsAreNotTheCurrentDirectory(t *testing.T) {
	f := func(line *commandLine, args ...string) error {
		t.Helper()
		parser, err := newParser(line, kong.Writers(io.Discard, io.Discard))
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(args)
		return err
	}
	if err := f(&commandLine{}, "up", "--data-dir", ""); err == nil || !strings.Contains(err.Error(), "--data-dir: it is empty") {
		t.Errorf("an empty --data-dir: %v", err)
	}
	t.Setenv("DATA_DIR", "")
	if err := f(&commandLine{}, "up"); err == nil || !strings.Contains(err.Error(), "it is empty") {
		t.Errorf("an empty DATA_DIR: %v", err)
	}
	t.Setenv("DATABASE_URL_FILE", "")
	t.Setenv("DATABASE_URL", "postgres://nowhere")
	t.Setenv("KAFKA_BROKERS", "nowhere:1")
	var line commandLine
	if err := f(&line, "import", "x", "--state-dir", ""); err != nil || line.Import.DatabaseURLFile != "" || line.Import.StateDir != "" {
		t.Errorf("empty paths: %v, %q, %q", err, line.Import.DatabaseURLFile, line.Import.StateDir)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := f(&line, "user", "export", "ann", "--out", "there"); err != nil || line.User.Export.Out != here+"/there" {
		t.Errorf("a relative path: %v, %q", err, line.User.Export.Out)
	}
}
