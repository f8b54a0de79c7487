package policy

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestConfidence(t *testing.T) {
	risky := 80
	learned := func(weight float64) func(string) float64 {
		return func(feature string) float64 {
			if feature == "category:promo" || feature == "sender_domain:shop.example" {
				return weight
			}
			return 0
		}
	}
	promo := Mail{Category: "promo", SenderDomain: "shop.example", Subject: "Hello"}
	f := func(name string, threshold float64, mail Mail, ratio float64, weights func(string) float64, want float64) {
		t.Run(name, func(t *testing.T) {
			got, _ := Confidence(threshold, mail, ratio, weights)
			if math.Abs(got-want) > 1e-9 {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	f("nothing learned", 0.7, promo, 0.6, learned(0), 0.7)
	f("mostly promotions", 0.7, promo, 0.61, learned(0), 0.8)
	f("mostly promotions but not this one", 0.7, Mail{Category: "event"}, 0.9, learned(0), 0.7)
	f("two approvals", 0.7, promo, 0, learned(0.4), 0.74)
	f("bump up is bounded", 0.7, promo, 0, learned(50), 0.85)
	f("bump down is bounded", 0.7, promo, 0, learned(-50), 0.55)
	f("never certain", 1, promo, 1, learned(50), 0.99)
	f("never impossible", 0, promo, 0, learned(-50), 0.01)
	f("risky", 0.2, Mail{Category: "promo", SenderDomain: "shop.example", RiskScore: &risky}, 0, learned(-50), 0.95)
}

func TestContributionsAreTheLearnedFeaturesStrongestFirst(t *testing.T) {
	weights := map[string]float64{"category:promo": 0.2, "sender_domain:shop.example": -0.6, "contains:sale": 0.2, "category:event": 5}
	_, got := Confidence(0.7, Mail{Category: "promo", SenderDomain: "shop.example", Subject: "A sale"}, 0,
		func(feature string) float64 { return weights[feature] })
	want := []Contribution{{"sender_domain:shop.example", -0.6}, {"category:promo", 0.2}, {"contains:sale", 0.2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBumpBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mail := drawMail(t)
		mail.RiskScore = nil
		weight := rapid.Float64Range(-100, 100).Draw(t, "weight")
		threshold := rapid.Float64Range(0, 1).Draw(t, "threshold")
		ratio := rapid.Float64Range(0, 1).Draw(t, "ratio")
		none, _ := Confidence(threshold, mail, ratio, func(string) float64 { return 0 })
		got, _ := Confidence(threshold, mail, ratio, func(string) float64 { return weight })
		if got < 0.01 || got > 0.99 || math.Abs(got-none) > bumpLimit+1e-9 {
			t.Fatalf("%v without and %v with weight %v", none, got, weight)
		}
		if (got-none)*weight < 0 {
			t.Fatalf("weight %v moved the confidence from %v to %v", weight, none, got)
		}
	})
}

func TestFires(t *testing.T) {
	f := func(confidence, threshold float64, want bool) {
		t.Helper()
		fires, explored := Fires(confidence, threshold, "not the one in twenty", 1)
		if fires != want || explored {
			t.Errorf("Fires(%v, %v) = %v, %v", confidence, threshold, fires, explored)
		}
	}
	f(0.7, 0.7, true)
	f(0.65, 0.7, true)
	f(0.7+bumpRate*(0.2-0.4-0.4-0.4), 0.7, true)
	f(0.649, 0.7, false)
	f(0.99, 1, true)
	f(0.01, 0, true)
}

func TestOneInTwentyIsExplored(t *testing.T) {
	const mails = 40000
	for _, id := range []int64{1, 2, 1 << 40} {
		count := 0
		for i := range mails {
			fires, explored := Fires(0.1, 0.7, string(rune('a'+i%26))+time.Duration(i).String(), id)
			if fires != explored {
				t.Fatal("fires below the threshold without being explored")
			}
			if explored {
				count++
			}
		}
		if share := float64(count) / mails; share < 0.045 || share > 0.055 {
			t.Errorf("policy %d: explored share %v", id, share)
		}
	}
}

func TestSetOrder(t *testing.T) {
	always := json.RawMessage(`{"not":{"exists":["ats.stage"]}}`)
	rule := func(id int64, priority int, age time.Duration, enabled bool) Policy {
		return Policy{ID: id, Name: "p", Enabled: enabled, Priority: priority, Condition: always,
			Action: ArchiveEmail, Threshold: 0.7, CreatedAt: now.Add(-age)}
	}
	set, err := NewSet([]Policy{rule(1, 50, time.Hour, true), rule(2, 40, 2*time.Hour, true), rule(3, 40, time.Hour, true),
		rule(4, 1, 0, false), rule(5, 40, time.Hour, true)})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, policy := range set.Matching(Mail{}, now, ArchiveEmail) {
		ids = append(ids, policy.ID)
	}
	if want := []int64{5, 3, 2, 1}; !slices.Equal(ids, want) {
		t.Errorf("order %v, want %v", ids, want)
	}
	if others := set.Matching(Mail{}, now, BlockSender); len(others) != 0 {
		t.Errorf("%d policies match another action", len(others))
	}
}

func TestChoose(t *testing.T) {
	set, err := NewSet(withIDs(Defaults()))
	if err != nil {
		t.Fatal(err)
	}
	noneLearned := func(string) float64 { return 0 }
	mail := Mail{ID: "m", Category: "event", SenderDomain: "meet.example", Subject: "Go meetup on Thursday", ReceivedAt: now.Add(-time.Hour)}

	first, ok := set.Choose(mail, now, 0, noneLearned)
	if !ok || first.Policy.Action != CreateCalendarEvent || first.Confidence != 0.7 || first.Explored {
		t.Fatalf("got %+v", first)
	}
	if diff := cmp.Diff(map[string]string{"title": mail.Subject}, first.Params); diff != "" {
		t.Error(diff)
	}
	if summary := first.Rationale.Narrative.Summary; !strings.Contains(summary, "Events to the calendar") || !strings.Contains(summary, "0.70") {
		t.Error(summary)
	}

	t.Run("two approvals raise similar mail by 0.05 to 0.15", func(t *testing.T) {
		again, _ := set.Choose(mail, now, 0, func(feature string) float64 {
			if slices.Contains(first.Features, feature) {
				return 0.4
			}
			return 0
		})
		if lift := again.Confidence - first.Confidence; lift < 0.05 || lift > 0.15 {
			t.Errorf("lift %v", lift)
		}
	})
	t.Run("rejected features silence the policies based on them", func(t *testing.T) {
		both := mail
		both.Subject = "Invoice for the meetup"
		got, ok := set.Choose(both, now, 0, func(feature string) float64 { return -1 })
		if ok && !got.Explored {
			t.Errorf("got %q at %v", got.Policy.Name, got.Confidence)
		}
	})
	t.Run("nothing matches", func(t *testing.T) {
		if got, ok := set.Choose(Mail{ID: "x", Category: "personal"}, now, 0, noneLearned); ok {
			t.Errorf("got %q", got.Policy.Name)
		}
	})
}

func TestRationaleJSON(t *testing.T) {
	set, err := NewSet(withIDs(Defaults()))
	if err != nil {
		t.Fatal(err)
	}
	mail := sampleMail()
	mail.RiskScore, mail.ATS = nil, nil
	got, ok := set.Choose(mail, now, 0.75, func(feature string) float64 {
		return map[string]float64{"contains:sale": 0.2}[feature]
	})
	if !ok {
		t.Fatal("nothing chosen")
	}
	body, err := json.Marshal(got.Rationale)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"features":{"category":"promo","sender_domain":"shop.example","list_id":"deals.shop.example","age_days":10,"promo_ratio":0.75},` +
		`"contributions":[{"feature":"contains:sale","weight":0.2}],` +
		`"narrative":{"summary":"Policy \"Archive old promotions\" matches this mail (category promo) from shop.example. ` +
		`Confidence 0.81: the policy's 0.70, +0.10 as this sender sends you mostly promotions, +0.01 learned from your decisions, most from contains:sale."},` +
		`"policy":{"id":5,"name":"Archive old promotions","priority":50}}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultsAreValidAndEachMatchesOrdinaryMail(t *testing.T) {
	old, fresh, risk := now.Add(-20*24*time.Hour), now.Add(-time.Hour), 90
	mails := map[string]Mail{
		"Quarantine risky mail":       {RiskScore: &risk},
		"Events to the calendar":      {Subject: "Webinar: what is new", Category: "newsletter", ReceivedAt: fresh},
		"Label receipts and invoices": {Subject: "Your receipt from the café", ReceivedAt: fresh},
		"Label job applications":      {Category: "applications", ReceivedAt: fresh},
		"Archive old promotions":      {Category: "promo", ReceivedAt: old},
		"Label newsletters":           {Category: "newsletter", ReceivedAt: fresh},
	}
	set, err := NewSet(withIDs(Defaults()))
	if err != nil {
		t.Fatal(err)
	}
	for _, policy := range Defaults() {
		if faults := policy.Validate(); len(faults) > 0 {
			t.Errorf("%s: %v", policy.Name, faults)
		}
		mail := mails[policy.Name]
		got, ok := set.Choose(mail, now, 0, func(string) float64 { return 0 })
		if !ok || got.Policy.Name != policy.Name {
			t.Errorf("%s: its mail got %q", policy.Name, got.Policy.Name)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Policy{Name: "x", Priority: 1, Threshold: 1, Action: LabelEmail, Condition: json.RawMessage(`{"exists":["sender"]}`)}
	f := func(name string, change func(*Policy), pointers ...string) {
		t.Run(name, func(t *testing.T) {
			policy := good
			change(&policy)
			var got []string
			for _, fault := range policy.Validate() {
				got = append(got, fault.Pointer)
			}
			if !slices.Equal(got, pointers) {
				t.Errorf("got %v, want %v", got, pointers)
			}
		})
	}
	f("good", func(*Policy) {})
	f("longest name", func(p *Policy) { p.Name = strings.Repeat("ä", 255) })
	f("name too long", func(p *Policy) { p.Name = strings.Repeat("ä", 256) }, "/name")
	f("no name", func(p *Policy) { p.Name = "" }, "/name")
	f("blank name", func(p *Policy) { p.Name = " " }, "/name")
	f("NUL in the name", func(p *Policy) { p.Name = "a\x00" }, "/name")
	f("priority too low", func(p *Policy) { p.Priority = 0 }, "/priority")
	f("priority too high", func(p *Policy) { p.Priority = 1001 }, "/priority")
	f("threshold too high", func(p *Policy) { p.Threshold = 1.01 }, "/confidence_threshold")
	f("threshold NaN", func(p *Policy) { p.Threshold = math.NaN() }, "/confidence_threshold")
	f("unknown action", func(p *Policy) { p.Action = "delete_email" }, "/action")
	f("bad condition", func(p *Policy) { p.Condition = json.RawMessage(`{"eq":["nope",1]}`) }, "/condition/eq/0")
	f("no condition", func(p *Policy) { p.Condition = nil }, "/condition")
	f("all at once", func(p *Policy) { *p = Policy{Priority: -1, Threshold: -1} },
		"/name", "/priority", "/confidence_threshold", "/action", "/condition")
}

func withIDs(policies []Policy) []Policy {
	for i := range policies {
		policies[i].ID = int64(i + 1)
	}
	return policies
}

// TestPausingSets: a set pauses before each condition, and tries none after a pause that failed.
func TestPausingSets(t *testing.T) {
	set, err := NewSet(withIDs(Defaults()))
	if err != nil {
		t.Fatal(err)
	}
	mail := Mail{ID: "x", Category: "personal"}
	for least := range len(Defaults()) {
		paused := 0
		pausing := set.Pausing(func() error {
			if paused++; paused > least {
				return errors.New("no more")
			}
			return nil
		})
		if _, fires := pausing.Choose(mail, now, 0, func(string) float64 { return 0 }); fires || paused != least+1 {
			t.Errorf("Choose paused %d times, fires %v; want %d", paused, fires, least+1)
		}
	}
	none := set.Pausing(func() error { return errors.New("none") })
	if found := none.Matching(Mail{Category: "promo"}, now, ArchiveEmail); len(found) != 0 {
		t.Errorf("%d policies match without being tried", len(found))
	}
}
