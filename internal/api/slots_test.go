package api

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/testkit/testenv"
)

// waiters returns how many requests of a person wait for a slot.
func (s *slots) waiters(person string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.persons[person]; l != nil {
		return len(l.waiting)
	}
	return 0
}

// untilWaiting returns when so many requests of a person wait for a slot.
func (s *slots) untilWaiting(t *testing.T, person string, count int) {
	t.Helper()
	testenv.Eventually(t, 30*time.Second, time.Millisecond, "requests wait for a slot", func() error {
		if n := s.waiters(person); n != count {
			return errors.New("not yet")
		}
		return nil
	})
}

func TestSlotsAreGivenInOrder(t *testing.T) {
	s := newSlots(2, 3, time.Minute)
	enter := func(person string, want error) {
		t.Helper()
		if err := s.enter(t.Context(), person); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", person, err, want)
		}
	}
	enter("a", nil)
	enter("a", nil)
	order := make(chan int)
	for i := range 3 {
		go func() {
			if err := s.enter(t.Context(), "a"); err != nil {
				t.Error(err)
			}
			order <- i
		}()
		s.untilWaiting(t, "a", i+1)
	}
	enter("a", errNoRoom)
	enter("b", nil) // whatever a has under way
	for i := range 3 {
		s.leave("a")
		same(t, <-order, i)
	}
	s.leave("a")
	s.leave("b")
	s.leave("a")
	same(t, len(s.persons), 0)
}

func TestWaitingForASlotEnds(t *testing.T) {
	s := newSlots(1, 1, time.Millisecond)
	if err := s.enter(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.enter(t.Context(), "a"); !errors.Is(err, errOutOfTurn) {
		t.Errorf("without a slot: %v", err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := s.enter(gone, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that went away: %v", err)
	}
	if err := s.reenter(gone, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that went away while it rested: %v", err)
	}
	same(t, s.waiters("a"), 0)
	s.leave("a")
	same(t, len(s.persons), 0)
}

// TestASlotIsNotLost: a turn that comes at the moment at which its waiter gives up goes to the next.
func TestASlotIsNotLost(t *testing.T) {
	s := newSlots(1, 100, time.Hour)
	if err := s.enter(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		ctx, giveUp := context.WithCancel(t.Context())
		entered := make(chan error)
		go func() { entered <- s.enter(ctx, "a") }()
		s.untilWaiting(t, "a", 1)
		go giveUp()
		s.leave("a")
		if <-entered != nil {
			if err := s.enter(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		giveUp()
	}
	s.leave("a")
	same(t, len(s.persons), 0)
}

func TestOnePersonLeavesConnectionsToOthers(t *testing.T) {
	for connections := 3; connections < 100; connections++ {
		if atOnce, costly := shares(connections); atOnce < 1 || costly < 1 || atOnce+costly >= connections {
			t.Errorf("of %d connections a person may hold %d and %d", connections, atOnce, costly)
		}
	}
}
