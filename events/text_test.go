package events_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
)

func TestCleanText(t *testing.T) {
	f := func(text string, limit int, want string) {
		t.Helper()
		if got := events.CleanText(text, limit); got != want {
			t.Errorf("%q cut at %d: %q, want %q", text, limit, got, want)
		}
	}
	f("", 0, "")
	f("plain", 5, "plain")
	f("plain", 4, "plai")
	f("né", 2, "n")
	f("é", 1, "")
	f("a\x00b\xffc", 99, "a\uFFFDb\uFFFDc")
	f("\x00", 2, "")
}

func TestCleanTextIsWhatAnEventMayHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 40).Draw(t, "limit")
		got := events.CleanText(string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.Contains(got, "\x00") {
			t.Fatalf("%q", got)
		}
	})
}
