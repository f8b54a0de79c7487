package config

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMissingSettingsSayHowToTakeThemOver(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, err := range []error{(&Kafka{}).Validate(), (&Postgres{}).Validate()} {
		if err == nil || !strings.Contains(err.Error(), `. To use what "applylens up" runs: . `) {
			t.Errorf("got %v", err)
		}
	}
	dir, err := DataDir()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(dir, home) {
		return // root's is not in its home
	}
	path := filepath.Join(dir, EnvFile)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := (&Postgres{}).Validate(); !strings.HasSuffix(err.Error(), "runs: . "+path) {
		t.Errorf("got %v", err)
	}
}

// The log is read in terminals: what others wrote must not control them, in either format.
func TestLogIsPrintable(t *testing.T) {
	hostile := "a\x1b[2J\u009b31m\u202e\nlevel=ERROR"
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := Log{LogLevel: "info", LogFormat: format}.Logger(&out)
		log.Info("hello", "text", hostile, "list", []string{hostile}, slog.Group(hostile, hostile, 1), "error", errors.New("one:\n\ttwo\n\ttwo"+hostile))
		text := out.String()
		if lines := strings.Count(text, "\n"); lines != 1 || strings.ContainsAny(text, "\x1b\u009b\u202e") {
			t.Errorf("%s: %q", format, text)
		}
		if !strings.Contains(text, "one: two; two") { // the second begins like the first
			t.Errorf("%s: %s", format, text)
		}
	}
}
