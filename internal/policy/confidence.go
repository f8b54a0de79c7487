package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
)

const (
	promoLift    = 0.1
	promoShare   = 0.6
	bumpRate     = 0.05
	bumpLimit    = 0.15
	riskyScore   = 80
	riskyLevel   = 0.95
	fireMargin   = 0.05
	exploreEvery = 20
	roundingSlip = 1e-9 // floating-point sums are not exact: 0.65 must still reach 0.7 - 0.05
)

// Contribution is the learned weight of one feature of the mail.
type Contribution struct {
	Feature string  `json:"feature"`
	Weight  float64 `json:"weight"`
}

// Confidence returns the confidence of the proposal, 0.01..0.99, and the learned weights that contributed, strongest first.
// It starts at the policy's threshold. A promotion from a sender of mostly promotions (promoRatio above 0.6) adds 0.1. The
// weights of the mail's features add 0.05 times their sum, at most 0.15 up or down. A risk score of 80 or more results in
// 0.95, whatever was learned.
func Confidence(threshold float64, mail Mail, promoRatio float64, weights func(feature string) float64) (float64, []Contribution) {
	score := scoreOf(threshold, &mail, mail.Features(), promoRatio, weights)
	return score.confidence, score.contributions
}

// score is a confidence and its parts.
type score struct {
	confidence    float64
	promo, bump   float64
	risky         bool
	contributions []Contribution
}

func scoreOf(threshold float64, mail *Mail, features []string, promoRatio float64, weights func(string) float64) score {
	s := score{contributions: []Contribution{}}
	sum := 0.0
	for _, feature := range features {
		if weight := weights(feature); weight != 0 {
			sum += weight
			s.contributions = append(s.contributions, Contribution{feature, weight})
		}
	}
	slices.SortStableFunc(s.contributions, func(a, b Contribution) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)), cmp.Compare(a.Feature, b.Feature))
	})
	if mail.Category == "promo" && promoRatio > promoShare {
		s.promo = promoLift
	}
	s.bump = clamp(bumpRate*sum, -bumpLimit, bumpLimit)
	s.confidence = clamp(threshold+s.promo+s.bump, 0.01, 0.99)
	if mail.RiskScore != nil && *mail.RiskScore >= riskyScore {
		s.risky, s.confidence = true, riskyLevel
	}
	return s
}

func clamp(x, low, high float64) float64 { return min(max(x, low), high) }

// Fires reports whether a matching policy proposes: its confidence reaches the threshold minus 0.05, or the mail is the one
// in twenty, by a hash of mail and policy, that is explored so that a rejected policy gets another chance.
func Fires(confidence, threshold float64, mailID string, policyID int64) (fires, explored bool) {
	if confidence >= threshold-fireMargin-roundingSlip {
		return true, false
	}
	explored = lot(mailID, policyID) == 0
	return explored, explored
}

func lot(mailID string, policyID int64) uint64 {
	sum := sha256.Sum256(append([]byte(mailID+"\x00"), strconv.FormatInt(policyID, 10)...))
	return binary.BigEndian.Uint64(sum[:8]) % exploreEvery
}
