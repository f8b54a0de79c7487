package load

import (
	"bytes"

	"github.com/applylens/applylens/events"
)

// fault is a change for which a record must be dead-lettered. spoil reports false when the record has no such field.
type fault struct {
	reason string // of the dead letter
	spoil  func(*Record) bool
}

// conflicting is the index of the fault that needs an earlier record with the same identity.
const conflicting = 1

var faults = []fault{
	{string(events.ReasonBadTime), replace(`"proposed_at":"20`, `"proposed_at":"19`)},
	{"conflict", replace(`"mail":{"id":"`, `"mail":{"id":"another-`)},
	{string(events.ReasonMalformed), func(r *Record) bool { r.Value = r.Value[:len(r.Value)/2]; return true }},
	{"key", func(r *Record) bool { r.Key = append([]byte("not-"), r.Key...); return true }},
}

// spoilt returns the record with a fault, or malformed if its type cannot have that fault.
func spoilt(record Record, number int) Record {
	chosen := faults[number]
	if !chosen.spoil(&record) {
		chosen = faults[conflicting+1]
		chosen.spoil(&record)
	}
	record.Fate, record.Reason = Refused, chosen.reason
	return record
}

// replace returns a change that copies the value and replaces text in it.
func replace(old, text string) func(*Record) bool {
	return func(r *Record) bool {
		if !bytes.Contains(r.Value, []byte(old)) {
			return false
		}
		r.Value = bytes.Replace(r.Value, []byte(old), []byte(text), 1)
		return true
	}
}
