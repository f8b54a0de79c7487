package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/internal/domain"
)

func TestAlways(t *testing.T) {
	got := Always(ArchiveEmail, "promo", "shop.example", "jo@shop.example", 0.8)
	want := Policy{Name: "Always archive email: promo from shop.example", Enabled: true, Priority: 40, Action: ArchiveEmail, Threshold: 0.75,
		Condition: []byte(`{"all":[{"eq":["category","promo"]},{"eq":["sender_domain","shop.example"]}]}`)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := Always(CreateTask, "", "shop.example", "", 0.1); string(got.Condition) != `{"eq":["sender_domain","shop.example"]}` || got.Name != "Always create task: mail from shop.example" {
		t.Errorf("without a category: %q %s", got.Name, got.Condition)
	}
	if got := Always(BlockSender, "", "gmail.com", "ann@gmail.com", 0.8); string(got.Condition) != `{"eq":["sender","ann@gmail.com"]}` || got.Name != "Always block sender: mail from ann@gmail.com" {
		t.Errorf("of one of many at a domain: %q %s", got.Name, got.Condition)
	}
	f := func(confidence, want float64) {
		t.Helper()
		if got := Always(ArchiveEmail, "promo", "shop.example", "", confidence).Threshold; got != want {
			t.Errorf("confidence %v gives threshold %v, want %v", confidence, got, want)
		}
	}
	f(0.01, 0.7)
	f(0.75, 0.7)
	f(0.76, 0.71)
	f(0.99, 0.94)
}

// TestAlwaysFitsItsMail checks that the policy of any mail is valid, matches the mail and fires for it.
func TestAlwaysFitsItsMail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mail := Mail{
			ID:           "m",
			Category:     rapid.SampledFrom([]string{"", "promo", `quo"ted`, "Größe <&>", strings.Repeat("ü", 50)}).Draw(t, "category"),
			SenderDomain: rapid.SampledFrom([]string{"shop.example", "xn--bcher-kva.example", strings.Repeat("d", 253), "gmail.com", "yahoo.co.jp"}).Draw(t, "domain"),
		}
		mail.Sender = rapid.StringMatching(`[a-z"<&]{1,10}`).Draw(t, "local") + "@" + mail.SenderDomain
		confidence := rapid.Float64Range(0.01, 0.99).Draw(t, "confidence")
		policy := Always(rapid.SampledFrom(Actions).Draw(t, "action"), mail.Category, mail.SenderDomain, mail.Sender, confidence)
		if faults := policy.Validate(); len(faults) > 0 {
			t.Fatal(faults)
		}
		set, err := NewSet([]Policy{policy})
		if err != nil {
			t.Fatal(err)
		}
		if got, fires := set.Choose(mail, now, 0, func(string) float64 { return 0 }); !fires || got.Explored {
			t.Fatalf("%s does not fire for its mail", policy.Condition)
		}
		stranger := mail
		if domain.Open(mail.SenderDomain) {
			stranger.Sender = "other@" + mail.SenderDomain
		} else {
			stranger.SenderDomain = "other.example"
		}
		if _, fires := set.Choose(stranger, now, 0, func(string) float64 { return 0 }); fires {
			t.Fatalf("%s fires for another sender", policy.Condition)
		}
	})
}

func TestAlwaysNeedsASender(t *testing.T) {
	for _, senderDomain := range []string{"", "gmail.com"} {
		policy := Always(ArchiveEmail, "promo", senderDomain, "", 0.9)
		if faults := policy.Validate(); len(faults) != 1 || !strings.HasPrefix(faults[0].Pointer, "/condition") {
			t.Errorf("%q: faults %v", senderDomain, faults)
		}
	}
}
