package api

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// Why a request gets no slot.
var (
	errNoRoom    = errors.New("as many requests of the person as may wait are waiting")
	errFull      = errors.New("as much runs in this process as may")
	errOutOfTurn = errors.New("the person's other requests took too long")
)

// slots bound how many requests of one person run at once, and how many wait until they may. Requests of one person get
// them in the order in which they came. It is safe for concurrent use.
type slots struct {
	atOnce   int
	waiting  int           // at most so many wait
	patience time.Duration // each of them at most so long

	mu      sync.Mutex
	persons map[string]*line // those who have requests
}

// line is what one person has under way.
type line struct {
	running int
	waiting []chan struct{} // closed for the one that may run
}

func newSlots(atOnce, waiting int, patience time.Duration) *slots {
	return &slots{atOnce: atOnce, waiting: waiting, patience: patience, persons: map[string]*line{}}
}

// enter waits for a slot of a person, which leave gives back. The error is errNoRoom, errOutOfTurn or the context's.
func (s *slots) enter(ctx context.Context, person string) error {
	turn, err := s.queue(person, s.waiting)
	if turn == nil || err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err = s.await(bounded, person, turn)
	if err != nil && ctx.Err() == nil {
		return errOutOfTurn
	}
	return err
}

// reenter waits for a slot for a request that gave its own back for a while: it is one of those that were let in.
func (s *slots) reenter(ctx context.Context, person string) error {
	turn, err := s.queue(person, math.MaxInt)
	if turn == nil || err != nil {
		return err
	}
	return s.await(ctx, person, turn)
}

// queue takes a free slot, or returns what is closed when it is the caller's turn.
func (s *slots) queue(person string, most int) (turn chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.persons[person]
	if l == nil {
		l = &line{}
		s.persons[person] = l
	}
	if l.running < s.atOnce {
		l.running++
		return nil, nil
	}
	if len(l.waiting) >= most {
		return nil, errNoRoom
	}
	turn = make(chan struct{})
	l.waiting = append(l.waiting, turn)
	return turn, nil
}

func (s *slots) await(ctx context.Context, person string, turn chan struct{}) error {
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	if !s.withdraw(person, turn) {
		s.leave(person) // the turn came at the same moment
	}
	return ctx.Err()
}

// withdraw ends the wait for a turn, and tells whether it had not come yet.
func (s *slots) withdraw(person string, turn chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.persons[person]
	i := slices.Index(l.waiting, turn)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return i >= 0
}

// leave gives a slot to the person's request that has waited longest.
func (s *slots) leave(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.persons[person]
	if len(l.waiting) > 0 {
		close(l.waiting[0])
		l.waiting = slices.Delete(l.waiting, 0, 1)
		return
	}
	if l.running--; l.running == 0 {
		delete(s.persons, person)
	}
}
