package search

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSnippet(t *testing.T) {
	long := strings.Repeat("padding ", 30)
	f := func(query, text, want string) {
		t.Helper()
		if got := Snippet(text, MustParse(query).At(now), 40); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	f("", " One\n\ttwo  three ", "One two three")
	f("", long, "padding padding padding padding padding p…")
	f("meetup", long+"the Meetup is here "+long, "… padding the Meetup is here padding paddi…")
	f("meet*", "x the meetings", "x the meetings")
	f("-the other", "the x", "the x")
	f("subject:x", strings.Repeat("é", 100)+" x", "… x")
	f("category:promo", "", "")
}

func TestSnippetOfAnyTextIsProper(t *testing.T) {
	text := strings.Repeat("日本語 é ", 50) + "needle"
	for cut := range 40 {
		if got := Snippet(text[3*cut:], MustParse("needle").At(now), 10); !utf8.ValidString(got) || !strings.HasPrefix(got, "…") {
			t.Errorf("got %q", got)
		}
	}
}
