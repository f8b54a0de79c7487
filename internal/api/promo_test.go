package api

import (
	"encoding/json"
	"testing"
	"time"
)

const day = 24 * time.Hour

// TestPromoRatioIsTheSendersShareOf90Days: what else the person got from that address counts, and nothing else.
func TestPromoRatioIsTheSendersShareOf90Days(t *testing.T) {
	w := newDeployment(t)
	p, other := w.person("alice"), w.person("bob")
	p.policy("all", anySubject)
	get := func(p *person, sender, category string, ages ...time.Duration) string {
		id := ""
		for _, age := range ages {
			id = p.mail(mail{subject: "Hello", sender: sender, domain: "shop.example", category: category, age: age})
		}
		return id
	}
	f := func(name, mail string, confidence, ratio float64) {
		t.Helper()
		got := p.propose(map[string]any{"email_ids": []string{mail}})
		if len(got) != 1 {
			t.Fatalf("%s: %d proposals", name, len(got))
		}
		var rationale struct {
			Features struct {
				PromoRatio float64 `json:"promo_ratio"`
			}
		}
		if err := json.Unmarshal(got[0].Rationale, &rationale); err != nil {
			t.Fatal(err)
		}
		if got[0].Confidence != confidence || rationale.Features.PromoRatio != ratio {
			t.Errorf("%s: confidence %v of ratio %v, want %v of %v", name, got[0].Confidence, rationale.Features.PromoRatio, confidence, ratio)
		}
	}
	just := 90*day - time.Hour
	get(p, "a@shop.example", "other", day, just)
	f("three of five", get(p, "a@shop.example", "promo", day, 2*day, just), 0.7, 0.6)
	get(p, "b@shop.example", "other", day)
	f("two of three", get(p, "b@shop.example", "promo", day, just), 0.8, 0.666667)
	f("not a promotion of that sender", get(p, "b@shop.example", "other", day), 0.7, 0)
	get(p, "c@shop.example", "other", 90*day+time.Hour, 91*day)
	get(p, "d@shop.example", "other", day, day)
	get(other, "c@shop.example", "other", day, day, day)
	f("old mail, another address and another person's mail", get(p, "c@shop.example", "promo", day), 0.8, 1)
	get(p, "e@shop.example", "promo", 91*day, 91*day, 91*day)
	get(p, "e@shop.example", "other", day)
	f("old promotions", get(p, "e@shop.example", "promo", day), 0.7, 0.5)
}
