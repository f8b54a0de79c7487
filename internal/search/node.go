package search

import "time"

// Node is a part of a checked query. It is one of the types below and immutable.
type Node interface{ node() }

type (
	// All holds for every mail.
	All struct{}

	// And holds when all of its parts do. It has at least one.
	And []Node

	// Or holds when any of its parts does. It has at least one.
	Or []Node

	// Not holds when its part does not, and so when what that compares is missing.
	Not struct{ Inner Node }

	// Phrase holds when the words stand next to each other in the text of Subject or Body, or when the one word is
	// among those of Sender (display name and address) or To (addresses). The words are those of tokenize.Split. With Prefix the
	// last one may be the beginning of a word.
	Phrase struct {
		Field  Field
		Words  []string
		Prefix bool
	}

	// Value holds when the field, or one of its values, is Text, or begins with it when Prefix is set. Text and the
	// mail's value are compared as tokenize.Lower writes them; Sender and To are addresses here, ID is a UUID in its
	// canonical form, and Quarantined is "true" or "false".
	Value struct {
		Field  Field
		Text   string
		Prefix bool
	}

	// Between holds when a number or a time lies between Low and High; nil is no limit, but one of them is there.
	Between[T float64 | time.Time] struct {
		Field     Field
		Low, High *Limit[T]
	}

	// Exists holds when the mail has the field: a text that is not empty, at least one label or recipient, a number or
	// a time. On ats fields that are texts the application's text must not be empty either.
	Exists struct{ Field Field }
)

// Limit is the end of a Between.
type Limit[T float64 | time.Time] struct {
	Value    T
	Excluded bool // Value itself lies outside
}

func (All) node()        {}
func (And) node()        {}
func (Or) node()         {}
func (Not) node()        {}
func (Phrase) node()     {}
func (Value) node()      {}
func (Between[T]) node() {}
func (Exists) node()     {}
