package search

import (
	"context"
	"errors"
	"time"

	"github.com/applylens/applylens/events"
)

// The errors of an Engine that callers tell apart; all others say that the engine is out of reach or broken.
var (
	// ErrTooSlow tells that a search was given up because of its time. Narrower queries may succeed.
	ErrTooSlow = errors.New("the search takes too long")

	// ErrUnavailable tells that the engine cannot be reached or is not ready. The same request may succeed later.
	ErrUnavailable = errors.New("the search engine is unavailable")
)

// Engine finds mails. It may be used concurrently, and leaves no search running for much longer than two seconds.
type Engine interface {
	// Search returns the person's mails that fulfil Where, at most Limit of them, in this order: those that fulfil most
	// of Should first; then the newest; then by id. The hits of a smaller limit are the first of those of a larger one.
	Search(ctx context.Context, request Request) ([]Hit, error)

	// Indexed tells whether a search can find everything of the person's that was folded before the time asked. An
	// engine that searches what is folded always says true. It does not wait, and may say false too often but never
	// true too early; asked again with the same time it says true in the end, however much is folded after it.
	Indexed(ctx context.Context, userID string, asked time.Time) (bool, error)
}

// Request is one search among the mails of one person.
type Request struct {
	UserID string
	Where  Node   // All finds every mail
	Should []Node // wishes that lift hits and exclude none; at most MaxShould
	Limit  int    // 1 to MaxLimit
}

// The limits of a request.
const (
	MaxShould = 16
	MaxLimit  = 1000
)

// Hit is one mail found. The mail may have changed or gone since it was indexed.
type Hit struct {
	ID         events.UUID
	ReceivedAt time.Time
	Matched    []int // the indices in Should of what the mail fulfils, ascending
}
