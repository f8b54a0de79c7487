package events

import (
	"math"
	"time"
)

// The operations of a preference change.
const (
	PreferencePin    = "pin"    // set Feature's weight to Weight until it is forgotten
	PreferenceForget = "forget" // forget what was learned of Feature, and its pin
	PreferenceReset  = "reset"  // forget all features of the user
)

// Preference is the payload of preference.changed.
type Preference struct {
	UserID     string
	Op         string  // PreferencePin, PreferenceForget or PreferenceReset
	Feature    string  // pin and forget
	Weight     float64 // pin; within -100..100
	RecordedAt time.Time
}

func (p *Preference) check(c *checker, _ Type) {
	c.required("user_id", p.UserID, MaxUserID)
	c.time("recorded_at", p.RecordedAt)
	c.floatWithin("weight", p.Weight, -MaxWeight, MaxWeight)
	c.text("feature", p.Feature, MaxFeature)
	switch p.Op {
	case PreferencePin:
		c.required("feature", p.Feature, MaxFeature)
	case PreferenceForget:
		c.required("feature", p.Feature, MaxFeature)
		c.absent("weight", p.Weight == 0)
	case PreferenceReset:
		c.absent("feature", p.Feature == "")
		c.absent("weight", p.Weight == 0)
	default:
		c.fail(ReasonSchema, "op", "is not pin, forget or reset")
	}
}

func (p *Preference) write(w *writer, _ Type, canonical bool) {
	w.text(fieldUserID, p.UserID)
	w.text(fieldOp, p.Op)
	w.textIf(fieldFeature, p.Feature)
	if p.Op == PreferencePin {
		w.float(fieldWeight, p.Weight)
	}
	if !canonical {
		w.time(fieldRecordedAt, p.RecordedAt)
	}
}

// readPreference decodes a preference. Members that its op does not use are checked and then dropped.
func (d *Decoder) readPreference() *Preference {
	p := &d.preference
	*p = Preference{}
	m := d.object(&shapes[TypePreferenceChanged])
	weighed := false
	for f := d.member(&m); f != fieldNone; f = d.member(&m) {
		switch f {
		case fieldUserID:
			p.UserID = d.interned()
		case fieldOp:
			p.Op = d.interned()
		case fieldFeature:
			p.Feature = d.interned()
		case fieldWeight:
			p.Weight, weighed = d.float(), true
		case fieldRecordedAt:
			p.RecordedAt = d.time()
		}
	}
	d.field = fieldWeight
	if p.Op == PreferencePin && !weighed {
		d.fail(ReasonSchema, "is missing")
	}
	// What is beyond its limit is left for check to refuse, whatever the op.
	if p.Op == PreferenceReset && len(p.Feature) <= MaxFeature {
		p.Feature = ""
	}
	if (p.Op == PreferenceReset || p.Op == PreferenceForget) && math.Abs(p.Weight) <= MaxWeight {
		p.Weight = 0
	}
	return p
}
