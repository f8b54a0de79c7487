package search

import "fmt"

// The limits of a query, checked when it is parsed.
const (
	MaxLength = 1000 // characters
	MaxNodes  = 100  // comparisons and negations together
	MaxLevels = 10   // of parentheses and negations; the outermost is the first
)

// Error tells where and why a query is refused.
type Error struct {
	Offset int    // characters before the place
	Token  string // what stands there; empty at the end of the query
	Detail string // what is wrong or would be right, a plain sentence for people
}

// Error implements error.
func (e *Error) Error() string {
	if e.Token == "" {
		return fmt.Sprintf("at character %d: %s", e.Offset+1, e.Detail)
	}
	return fmt.Sprintf("at character %d, %q: %s", e.Offset+1, e.Token, e.Detail)
}
