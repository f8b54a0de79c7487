package tokenize

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSplit(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		if got := Split(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f("")
	f(" -- … !")
	f("Go meetup, 7 pm", "go", "meetup", "7", "pm")
	f("follow-up don't a_b", "follow", "up", "don", "t", "a", "b")
	f("ann@Mail.Example.com", "ann", "mail", "example", "com")
	f("order66 $1,234.56", "order66", "1", "234", "56")
	f("ÄRGER ärger A\u0308rger", "ärger", "ärger", "ärger")
	f("Straße STRASSE", "strasse", "strasse")
	f("ΣΊΣΥΦΟΣ Σίσυφος", "σίσυφοσ", "σίσυφοσ")
	f("İstanbul", "i̇stanbul")
	f("Ꭰ ꭰ", "ꭰ", "ꭰ")
	f("हिन्दी में", "हिन्दी", "में")
	f("会議は Tokyoで", "会", "議", "は", "tokyo", "で")
	f("か\u3099く が", "が", "く", "が")
	f("안녕하세요 여러분", "안녕하세요", "여러분")
	f("❤\ufe0f love =\u0338", "love")
	f("a\x00b\xffc\ufffdd", "a", "b", "c", "d")
	f(strings.Repeat("x", MaxLength)+"y", strings.Repeat("x", MaxLength))
	f(strings.Repeat("é", MaxLength)+"y", strings.Repeat("é", MaxLength))
	f(strings.Repeat("é", MaxLength), strings.Repeat("é", MaxLength))
}

func TestAllTellsWhereWordsStand(t *testing.T) {
	const text = "¡Über! 会議 ok"
	var raw []string
	for word := range All(text) {
		raw = append(raw, text[word.Start:word.End])
	}
	if want := []string{"Über", "会", "議", "ok"}; !slices.Equal(raw, want) {
		t.Errorf("got %q, want %q", raw, want)
	}
	for word := range All(text) {
		if word.Text != "über" {
			t.Errorf("the first word is %q", word.Text)
		}
		break
	}
}

func TestJoin(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := Join(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("--", "")
	f("  Go\tMeetup!", "go meetup")
}

func TestLower(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		if got := Lower(value); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
	f("Final Round", "final round")
	f("A\u0308 Straße", "ä straße")
}

// FuzzSplit: words are in their normal form already, hold no space, and joining changes nothing.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"Go meetup", "Straße \u1fb3\u0345 ŉ ǰ İ", "か\u3099会議", "a\xff\u0301b", strings.Repeat("Ǆ", 70)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list := Split(text)
		for _, word := range list {
			if again := Split(word); len(again) != 1 || again[0] != word {
				t.Errorf("%q is a word of %q and has the words %q", word, text, again)
			}
			if length := utf8.RuneCountInString(word); length > MaxLength {
				t.Errorf("%q has %d characters", word, length)
			}
		}
		if joined := strings.Join(list, " "); Join(text) != joined || !slices.Equal(Split(joined), list) {
			t.Errorf("%q: joined %q, split again %q", text, Join(text), Split(joined))
		}
	})
}

func BenchmarkJoin(b *testing.B) {
	text := strings.Repeat("Some words of a mail, as people write them. ", 50)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Join(text)
	}
}
