// Package load makes action events as a deployment would: people of whom few are busy and most are not, proposals,
// decisions on them, now and then a preference, a revert, an erasure, a repeated publishing. It writes them to Kafka
// stamped as the relay does or as a foreign service would, fast enough to measure consumers.
//
// The same Profile gives the same events on every machine. It promises the producers' side of the contract: right key
// and partition, dense relay numbers, recorded_at that never goes back.
package load

import (
	"fmt"
	"math"
	"time"
)

// Profile tells what is made. The zero value of a field means its default.
type Profile struct {
	Seed     uint64
	Users    int           // Default: 10,000.
	Skew     float64       // Exponent of Zipf's law over the users, above 1. Default: 1.1.
	Policies int           // of each user. Default: 12.
	Start    time.Time     // recorded_at of the first event. Default: 2026-01-01.
	Step     time.Duration // recorded_at between two events. Default: 2 s.

	// The shares of all events; what is left are decisions. Proposed's default is a third, the others' is none.
	Proposed, Reverted, Preferred, Performed, Erased float64

	Foreign float64 // share of the users whose events a foreign service writes, unstamped
	Derived float64 // share of foreign events without features, which are then derived from the mail
	// Repeated is the share of records after which some earlier ones of the partition are published again: stamped
	// ones in order, as a relay does that lost the acknowledgements, foreign ones as they come.
	Repeated float64
	// Refused is the share of foreign events after which a record comes that must become a dead letter: malformed,
	// from an impossible time, under another's key, or contradicting the event.
	Refused float64
}

func (p *Profile) fill() error {
	defaultTo(&p.Users, 10_000)
	defaultTo(&p.Skew, 1.1)
	defaultTo(&p.Policies, 12)
	defaultTo(&p.Start, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	defaultTo(&p.Step, 2*time.Second)
	defaultTo(&p.Proposed, 1.0/3)
	if p.Users < 1 || p.Skew <= 1 || p.Policies < 1 || p.Step < time.Microsecond {
		return fmt.Errorf("profile %+v: Users and Policies must be positive, Skew above 1, Step at least a microsecond", *p)
	}
	if sum := p.Proposed + p.Reverted + p.Preferred + p.Performed + p.Erased; sum > 1 || math.IsNaN(sum) {
		return fmt.Errorf("profile: the shares of the kinds add up to %g", sum)
	}
	return nil
}

func defaultTo[T comparable](value *T, fallback T) {
	var zero T
	if *value == zero {
		*value = fallback
	}
}

// Summary counts what was made.
type Summary struct {
	Records  int64 // repeats and refused ones included
	Bytes    int64 // of keys, values and headers
	Repeated int64 // records that were published before
	Refused  int64
	ByType   map[string]int64
	Features map[string]int64 // that the actions name, by type
}
