package events_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
)

func TestFeatures(t *testing.T) {
	f := func(mail events.MailRef, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, events.Features(mail)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", mail, diff)
		}
	}
	f(events.MailRef{ID: "m"})
	f(events.MailRef{Category: "promo"}, "category:promo")
	f(events.MailRef{SenderDomain: "example.com", ListID: "news.example.com", Category: "event", Subject: "Go Meetup: event"},
		"category:event", "contains:event", "contains:meetup", "listid:news.example.com", "sender_domain:example.com")
	f(events.MailRef{Subject: "Re: sale, sale and SALES"}, "contains:sale")
}

func TestSubjectWords(t *testing.T) {
	f := func(subject string, tokens ...string) {
		t.Helper()
		var want []string
		for _, token := range tokens {
			want = append(want, events.FeatureContains+token)
		}
		if diff := cmp.Diff(want, events.Features(events.MailRef{Subject: subject})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", subject, diff)
		}
	}
	for _, token := range strings.Fields("invoice receipt meetup interview newsletter offer promotion discount sale " +
		"deal conference webinar event reminder payment order shipping") {
		f(token, token)
		f("Your "+strings.ToUpper(token)+"S!", token)
		f("x" + token)
		f(token + "x")
		f(token + "ss")
		f(token + "1")
		f("_"+token+"_", token)
		f(token[:len(token)-1])
	}
	f("")
	f("Salesforce, border, reorder, dealer, prevent, offering")
	f("sales discounts", "discount", "sale")
	f("Today's event's pre-order (50% discount)", "discount", "event", "order")
	f("order#17/invoice:4", "invoice", "order")
	f("\u017fale", "sale")  // long s folds to s
	f("sale\u017f", "sale") // also in the plural
	f("sale\u0301")         // an accent makes another word
	f("\u00e9vent \u00bfevent?", "event")
	f("活动event") // letters without a space between
	f("活动 event", "event")
	f("sale\u00a0deal\u2014offer\U0001F600order", "deal", "offer", "order", "sale")
	f("sale\xffdeal", "deal", "sale") // a broken byte ends a word
}

func TestFeaturesAreSortedAndDistinct(t *testing.T) {
	mail := events.MailRef{Category: "zz", ListID: "aa", SenderDomain: "0",
		Subject: "webinar shipping sale reminder receipt promotion payment order offer newsletter meetup invoice " +
			"interview event discount deal conference conferences"}
	got := events.Features(mail)
	if !slices.IsSorted(got) || len(got) != 20 || len(slices.Compact(slices.Clone(got))) != 20 {
		t.Errorf("%d: %q", len(got), got)
	}
}

func TestFeatureOfWord(t *testing.T) {
	for word, want := range map[string]string{"meetup": "contains:meetup", "MEETUPS": "contains:meetup", "saleſ": "contains:sale", "salesforce": "", "": "", "lunch": ""} {
		if got := events.FeatureOfWord(word); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
