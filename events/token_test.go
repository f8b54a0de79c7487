package events

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The short way for words of ASCII finds what Unicode's case folding does.
func TestTokensOfASCIIWords(t *testing.T) {
	slow := func(word string) int {
		return slices.IndexFunc(featureTokens, func(token string) bool {
			return len(word) >= len("deal") && (strings.EqualFold(word, token) || hasPlural(word, token))
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom(featureTokens).Draw(t, "token") + rapid.SampledFrom([]string{"", "s", "S", "ss", "x", "ſ"}).Draw(t, "end")
		letters := []rune(word)
		for i := range letters {
			switch rapid.IntRange(0, 8).Draw(t, "change") {
			case 0:
				letters[i] = rapid.SampledFrom([]rune("aeKsſK0é")).Draw(t, "letter")
			case 1, 2:
				letters[i] = []rune(strings.ToUpper(string(letters[i])))[0]
			}
		}
		word = string(letters[:rapid.IntRange(0, len(letters)).Draw(t, "length")])
		if got, want := tokenOf(word), slow(word); got != want {
			t.Errorf("tokenOf(%q) = %d, want %d", word, got, want)
		}
	})
}
