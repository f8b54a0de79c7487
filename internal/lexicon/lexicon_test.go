package lexicon

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCount(t *testing.T) {
	l := New([]string{"save $5", "sale", "10% off", "don't miss"}, []string{"sale now on", "über uns"}, nil)
	f := func(text string, want ...int) {
		t.Helper()
		if got := l.Count(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	f("", 0, 0, 0)
	f("Save $1,250 today", 1, 0, 0)
	f("SAVE: $50!", 1, 0, 0)
	f("save 5", 0, 0, 0)
	f("Sale! Sale! Sale now on.", 1, 1, 0)
	f("Salesforce wholesale sales", 0, 0, 0)
	f("sale", 1, 0, 0)
	f("sale now", 1, 0, 0)
	f("50%\noff, don’t miss it", 2, 0, 0)
	f("150%-off dont miss", 2, 0, 0)
	f("ÜBER UNS", 0, 1, 0)
	f("\xff\xfesale\xff", 1, 0, 0)
}

func TestNormalise(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := string(normalise(nil, text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f("Re: [x] It's 3.50 €, or £4 (10%)?", "re x its 0 0 € or £ 0 0 % ")
	f("a@b.example v2 2nd  ", "a @ b example v0 0nd ")
	f("日本語 text", "日本語 text ")
	f("...", "")
}

func FuzzCount(f *testing.F) {
	l := New([]string{"save $5", "a b c"})
	f.Add("a b c Save $1")
	f.Fuzz(func(t *testing.T, text string) {
		words := string(normalise(nil, text))
		if utf8.ValidString(text) && !utf8.ValidString(words) || strings.Contains(words, "  ") {
			t.Errorf("%q", words)
		}
		if twice := string(normalise(nil, words)); twice != words {
			t.Errorf("%q became %q", words, twice)
		}
		if got := l.Count(text)[0]; got > 2 {
			t.Errorf("%d of two phrases", got)
		}
	})
}
