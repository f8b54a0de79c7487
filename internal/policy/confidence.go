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
	roundingSlip = 1e-9 // sums of fifths are not exact: 0.65 must still reach 0.7 - 0.05
)

// Contribution is what was learned about one feature of the mail.
type Contribution struct {
	Feature string  `json:"feature"`
	Weight  float64 `json:"weight"`
}

// Confidence tells how sure the proposal is, 0.01..0.99, and which learned weights had a part in it, strongest first.
// It starts at the policy's threshold; promotions of a sender who sends the person little else (promoRatio above 0.6)
// add 0.1; the weights of the mail's features add 0.05 times their sum, at most 0.15 either way. A risk score of 80
// or more gives 0.95, whatever was learned.
func Confidence(threshold float64, mail Mail, promoRatio float64, weights func(feature string) float64) (float64, []Contribution) {
	score := scoreOf(threshold, &mail, mail.Features(), promoRatio, weights)
	return score.confidence, score.contributions
}

// score is a confidence with its parts.
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

// Fires tells whether a policy that matches also proposes: its confidence reaches the threshold less 0.05, or else
// the mail is the one in twenty, by a hash of mail and policy, for which it is explored whether a rejected policy has
// become welcome.
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
