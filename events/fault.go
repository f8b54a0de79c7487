package events

import (
	"slices"
	"strconv"
	"strings"
)

// MaxFaults is how many faults Faults and PayloadFaults return at most.
const MaxFaults = 1000

// Faults returns all faults of a record, in the order of reading: none if Open and Decode accept it, and otherwise theirs and
// every other one that can be told without guessing what a broken value was meant to be. Those of elements have an index,
// from 0 on: "recipients[2].address". e is set to what could be read, and valid until the next call.
func (d *Decoder) Faults(headers []Header, value []byte, e *Event) []*Error {
	d.all = &faults{}
	defer func() { d.all = nil }()
	head, data, err := d.Open(headers, value)
	*e = Event{Envelope: head.Envelope}
	if err == nil && !d.all.spoilt("", 0) && !d.all.within(HeaderType) {
		err = d.Decode(&head, data, e)
	}
	return d.all.and(err)
}

// PayloadFaults is Faults for the value alone of an event of type t.
func (d *Decoder) PayloadFaults(t Type, value []byte, e *Event) []*Error {
	d.all = &faults{}
	defer func() { d.all = nil }()
	err := d.Decode(&Head{Envelope: Envelope{Type: t}}, value, e)
	return d.all.and(err)
}

// faults collects the faults of one record. Places are paths of fields with indexes of elements; "" is the whole value.
type faults struct {
	list   []*Error
	spoils map[string]bool // places whose value could not be read
}

func (f *faults) add(fault *Error) {
	if len(f.list) < MaxFaults-1 { // one more may end reading
		f.list = append(f.list, fault)
	}
}

// and returns the faults, with the one that ended reading.
func (f *faults) and(err error) []*Error {
	if last, ok := err.(*Error); ok {
		return append(f.list, last)
	}
	return f.list
}

func (f *faults) spoil(place string) {
	if f.spoils == nil {
		f.spoils = map[string]bool{}
	}
	f.spoils[place] = true
}

// spoilt tells whether the value of a field, or one that contains it, could not be read.
func (f *faults) spoilt(name string, nth int) bool {
	if len(f.spoils) == 0 {
		return false
	}
	first, _, _ := strings.Cut(name, ".")
	return f.spoils[""] || f.spoils[first] || f.spoils[elementPath(first, nth)] || f.spoils[elementPath(name, nth)]
}

// within tells whether a field has a fault, or one of its elements or members.
func (f *faults) within(name string) bool {
	return slices.ContainsFunc(f.list, func(fault *Error) bool {
		rest, found := strings.CutPrefix(fault.Field, name)
		return found && (rest == "" || rest[0] == '[' || rest[0] == '.')
	})
}

// elementPath inserts the index of the nth element into the path of a list or of a field of its elements.
func elementPath(path string, nth int) string {
	if nth == 0 {
		return path
	}
	list, member, nested := strings.Cut(path, ".")
	list += "[" + strconv.Itoa(nth-1) + "]"
	if nested {
		list += "." + member
	}
	return list
}
