package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	for domain, want := range map[string]bool{
		"gmail.com": true, "yahoo.co.jp": true, "web.de": true, "gmx.ch": true, "live.com": true,
		"example.com": false, "mygmail.com": false, "live.example": false, "": false, "com": false,
	} {
		if Open(domain) != want {
			t.Errorf("%q is open: %t, want %t", domain, !want, want)
		}
	}
}

// What was learned by a feature rule is kept for ever, so its lists are, too.
func TestTheListsAreThoseOfFeatureRule2(t *testing.T) {
	sum := sha256.New()
	for _, list := range []map[string]bool{openLabels, openDomains} {
		sum.Write([]byte(strings.Join(slices.Sorted(maps.Keys(list)), " ") + "\n"))
	}
	const frozen = "6c97f20fdeb8b637"
	if got := hex.EncodeToString(sum.Sum(nil)[:8]); got != frozen {
		t.Errorf("the lists have changed (%s): add feature rule 3 and keep these for rule 2", got)
	}
}
