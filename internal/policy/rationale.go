package policy

import (
	"fmt"
	"strings"
	"time"
)

// Rationale says why an action is proposed. Its JSON form is part of the API.
type Rationale struct {
	Features      Facts          `json:"features"`
	Contributions []Contribution `json:"contributions"`
	Narrative     Narrative      `json:"narrative"`
	Policy        PolicyRef      `json:"policy"`
}

// Facts are the properties of the mail on which the proposal is based.
type Facts struct {
	Category        string   `json:"category,omitempty"`
	SenderDomain    string   `json:"sender_domain,omitempty"`
	ListID          string   `json:"list_id,omitempty"`
	RiskScore       *int     `json:"risk_score,omitempty"`
	AgeDays         *float64 `json:"age_days,omitempty"`
	PromoRatio      float64  `json:"promo_ratio"`
	ATSStage        string   `json:"ats_stage,omitempty"`
	ATSCompany      string   `json:"ats_company,omitempty"`
	ATSGhostingRisk *float64 `json:"ats_ghosting_risk,omitempty"`
}

// Narrative is the rationale in words.
type Narrative struct {
	Summary string `json:"summary"`
}

// PolicyRef names the policy of the proposal, as it was at that time.
type PolicyRef struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	Priority int    `json:"priority"`
}

func explain(policy *Policy, mail *Mail, now time.Time, promoRatio float64, s score, explored bool) Rationale {
	return Rationale{
		Features:      factsOf(mail, now, promoRatio),
		Contributions: s.contributions,
		Narrative:     Narrative{summarize(policy, mail, s, explored)},
		Policy:        PolicyRef{policy.ID, policy.Name, policy.Priority},
	}
}

func factsOf(mail *Mail, now time.Time, promoRatio float64) Facts {
	facts := Facts{
		Category:     mail.Category,
		SenderDomain: mail.SenderDomain,
		ListID:       mail.ListID,
		RiskScore:    mail.RiskScore,
		PromoRatio:   round(promoRatio),
	}
	if !mail.ReceivedAt.IsZero() {
		days := wholeDays(now.Sub(mail.ReceivedAt))
		facts.AgeDays = &days
	}
	if mail.ATS != nil {
		risk := mail.ATS.GhostingRisk
		facts.ATSStage, facts.ATSCompany, facts.ATSGhostingRisk = mail.ATS.Stage, mail.ATS.Company, &risk
	}
	return facts
}

func summarize(policy *Policy, mail *Mail, s score, explored bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Policy %q matches this mail", policy.Name)
	if mail.Category != "" {
		fmt.Fprintf(&b, " (category %s)", mail.Category)
	}
	if mail.SenderDomain != "" {
		fmt.Fprintf(&b, " from %s", mail.SenderDomain)
	}
	b.WriteString(". ")
	if s.risky {
		fmt.Fprintf(&b, "Its risk score is %d, so the confidence is %.2f whatever was learned.", *mail.RiskScore, s.confidence)
		return b.String()
	}
	fmt.Fprintf(&b, "Confidence %.2f: the policy's %.2f", s.confidence, policy.Threshold)
	if s.promo > 0 {
		fmt.Fprintf(&b, ", %+.2f as this sender sends you mostly promotions", s.promo)
	}
	if len(s.contributions) > 0 {
		fmt.Fprintf(&b, ", %+.2f learned from your decisions, most from %s", s.bump, s.contributions[0].Feature)
	}
	b.WriteString(".")
	if explored {
		b.WriteString(" It is below the threshold; it was proposed to check whether your preference has changed.")
	}
	return b.String()
}
