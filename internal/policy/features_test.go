package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
)

// Where anybody can have an address, what is learned of one sender says nothing about the others.
func TestFeatures(t *testing.T) {
	f := func(mail Mail, want ...string) {
		t.Helper()
		got := mail.Features()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: %s", mail, diff)
		}
		if !slices.IsSorted(got) {
			t.Errorf("%q are not sorted", got)
		}
		for _, feature := range got {
			if parsed, detail := ParseFeature(feature); parsed != feature {
				t.Errorf("%q is given, and parsed as %q: %s", feature, parsed, detail)
			}
		}
	}
	f(Mail{Category: "promo", Sender: "jo@mail.shop.example", SenderDomain: "shop.example", ListID: "l", Subject: "Sale"},
		"category:promo", "contains:sale", "listid:l", "sender_domain:shop.example")
	f(Mail{Category: "promo", Sender: "Ann@gmail.com", SenderDomain: "gmail.com", ListID: "l", Subject: "Sale"},
		"category:promo", "contains:sale", "listid:l", "sender:ann@gmail.com")
	f(Mail{Category: "promo", SenderDomain: "gmail.com"}, "category:promo")
	f(Mail{Category: "promo", Sender: strings.Repeat("a", events.MaxFeature) + "@gmail.com", SenderDomain: "gmail.com"}, "category:promo")
}

func TestParseFeature(t *testing.T) {
	for text, want := range map[string]string{
		"category:PROMO": "category:promo", " Category: Promo ": "category:promo", "contains:Meetups": "contains:meetup",
		"sender_domain:EXAMPLE.com": "sender_domain:example.com", "sender_domain:mail.Example.co.uk": "sender_domain:example.co.uk",
		"sender_domain:b\u00fccher.example": "sender_domain:xn--bcher-kva.example", "sender_domain:jo@shop.example": "sender_domain:shop.example",
		"listid:<News.Example.org>": "listid:news.example.org", "sender:Ann@Gmail.com": "sender:ann@gmail.com",
	} {
		if got, detail := ParseFeature(text); got != want || detail != "" {
			t.Errorf("%q: %q (%s), want %q", text, got, detail, want)
		}
	}
	for text, hint := range map[string]string{
		"": "expected", "promo": "expected", "category:": "expected", "vip:yes": "expected", "contains:lunch": "words", "listid:<>": "expected",
		"sender_domain:*.net": "registrable", "sender_domain:gmail.com": "sender:ann@gmail.com", "sender:jo@shop.example": "sender_domain:shop.example",
		"sender:@gmail.com": "whole address", "sender:ann": "whole address", "category:" + strings.Repeat("c", events.MaxCategory+1): "expected",
	} {
		if got, detail := ParseFeature(text); got != "" || !strings.Contains(detail, hint) {
			t.Errorf("%q: %q, refused with %q, want a hint with %q", text, got, detail, hint)
		}
	}
}

// A domain with letters beyond ASCII is the same in whatever form it is written.
func TestConditionsKnowEveryFormOfADomain(t *testing.T) {
	mail := Mail{ID: "m", Sender: "ann@xn--bcher-kva.example", SenderDomain: "xn--bcher-kva.example"}
	for condition, want := range map[string]bool{
		`{"eq":["sender","Ann@bücher.example"]}`: true, `{"neq":["sender","ann@bücher.example"]}`: false, `{"in":["sender",["ann@BÜCHER.example"]]}`: true,
		`{"eq":["sender","ann@xn--bcher-kva.example"]}`: true, `{"eq":["sender_domain","bücher.example"]}`: true, `{"neq":["sender_domain","shop.bücher.example"]}`: false,
		`{"contains":["sender_domain","bücher"]}`: true, `{"contains":["sender_domain","kocher"]}`: false, `{"eq":["sender","ann@bucher.example"]}`: false,
	} {
		set, err := NewSet([]Policy{{ID: 1, Name: "n", Enabled: true, Condition: []byte(condition), Action: ArchiveEmail, Threshold: 0.7}})
		if err != nil {
			t.Fatal(condition, err)
		}
		if _, got := set.Choose(mail, now, 0, func(string) float64 { return 0 }); got != want {
			t.Errorf("%s holds: %t", condition, got)
		}
	}
}
