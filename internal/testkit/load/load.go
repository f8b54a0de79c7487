// Package load generates action events for tests and benchmarks, and writes them to Kafka fast enough to measure
// consumers. A Generator makes proposals, decisions, and now and then a preference, a revert, an erasure or a repeat, of
// users of whom few are busy, stamped as the relay does. A Service makes the events of another service, and a Client
// writes them with the compression and the batches of an ordinary producer.
//
// The same Profile gives the same records on every machine. Unless they are meant to be refused, they keep the contract of
// producers: the right key and partition, dense relay sequences, recorded_at that never goes back.
//
// Package internal/bench imports it too, although it is no test: applylens bench measures the same events.
package load

import (
	"fmt"
	"math"
	"time"
)

// Profile describes the events. The zero value of a field means its default.
type Profile struct {
	Seed     uint64
	Users    int           // Default: 10,000.
	Skew     float64       // Exponent of Zipf's law over the users, above 1. Default: 1.1.
	Policies int           // of each user. Default: 12.
	Start    time.Time     // recorded_at of the first event. Default: 2026-01-01.
	Step     time.Duration // recorded_at between two events. Default: 2 s.

	// Shares of all events; the rest are decisions. Default: a third proposed, none of the others.
	Proposed, Reverted, Preferred, Performed, Erased float64

	Foreign float64 // share of the users whose events a foreign service writes, unstamped
	// Structured is the share of foreign events that are written in the structured mode of CloudEvents.
	Structured float64
	Derived    float64 // share of foreign events that leave their features to be derived from the mail
	// Repeated is the share of records after which the last ones of the partition are published again, in order, as by a
	// relay that lost the acknowledgements.
	Repeated float64
	// Refused is the share of foreign events after which a record follows that must be dead-lettered: malformed, with an
	// impossible time, under the key of another user, or in conflict with the event.
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
