package consumers_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
)

// The relay published a record before it knew that earlier ones were cut off, and then all of them again. Passing over
// the one that came too early loses nothing, live and in a rebuild.
func TestRecordThatCameTooEarlyIsPassedOver(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	user := usersOf(1, 1)[0]
	first, second, third := w.own(decision(user, 1)), w.own(decision(user, 2)), w.own(decision(user, 3))
	w.publish(first, third)
	w.haltedFor("weights", consumers.HaltSequence)
	w.publish(second, third, w.own(decision(user, 4)))
	_, err := w.operator().Skip(t.Context(), 1, 2)
	must(t, err)
	w.folded("weights", events.TopicActions)
	if got := w.weight(user, "category:promo"); got != 0.8 {
		t.Errorf("weight %v, want 0.8", got)
	}
	_, err = consumers.Rebuild(t.Context(), w.weights(), false)
	must(t, err)
	compared, err := consumers.Compare(t.Context(), w.weights())
	must(t, err)
	if !compared.Equal() {
		t.Errorf("the rebuilt version differs: %+v", compared.Tables)
	}
}

// Passing over records that were applied before must not make later ones count again.
func TestSkipAfterRewindCountsNothingTwice(t *testing.T) {
	w := newWorld(t)
	stop := w.start(w.weights())
	user := usersOf(1, 1)[0]
	for n := range 5 {
		w.publish(w.own(decision(user, n)))
	}
	w.folded("weights", events.TopicActions)
	stop()
	_, err := w.operator().Rewind(t.Context(), 1, 0)
	must(t, err)
	_, err = w.operator().Skip(t.Context(), 1, 2)
	must(t, err)
	if moves, err := w.operator().Skip(t.Context(), 1, 1); err == nil {
		t.Errorf("skipping to below the position gives %+v", moves)
	}
	w.start(w.weights())
	w.folded("weights", events.TopicActions)
	if got := w.weight(user, "category:promo"); got != 1 {
		t.Errorf("weight %v, want 1", got)
	}
}

// Skipping to the log's start, as the halt says, is all that a gap asks for.
func TestGapNeedsOneVerb(t *testing.T) {
	for _, verb := range []string{"skip", "adopt"} {
		t.Run(verb, func(t *testing.T) {
			w := newWorld(t)
			stop := w.start(w.weights())
			user := usersOf(1, 1)[0]
			w.publish(w.own(decision(user, 0)))
			w.folded("weights", events.TopicActions)
			stop()
			for n := 1; n <= 5; n++ {
				w.publish(w.own(decision(user, n)))
			}
			w.deleteBefore(1, 4)
			w.start(w.weights())
			w.haltedFor("weights", consumers.HaltGap)
			var err error
			if verb == "skip" {
				_, err = w.operator().Skip(t.Context(), 1, 4)
			} else {
				_, err = w.operator().Adopt(t.Context(), 1)
			}
			must(t, err)
			w.folded("weights", events.TopicActions)
			if got := w.weight(user, "category:promo"); got != float64(3)/5 {
				t.Errorf("weight %v, want 0.6", got)
			}
		})
	}
}

// A record that only a stricter, later version refuses is redriven for that version alone.
func TestRedriveHasNoSecondEffectInAnEarlierVersion(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	strange := decision("ann", 1)
	w.publish(w.own(decision("ann", 0)), w.own(strange), w.own(decision("ann", 2)))
	w.folded("weights", events.TopicActions)
	_, err := consumers.Rebuild(t.Context(), w.weights(failingAt(strange)), false)
	must(t, err)
	if diff := cmp.Diff(map[string]int{"panic": 1}, w.deadReasons("weights")); diff != "" {
		t.Fatal(diff)
	}
	letters, err := consumers.ListDeadLetters(t.Context(), w.pool, consumers.DeadLetterFilter{Group: "weights", Limit: 10})
	must(t, err)
	must(t, consumers.Redrive(t.Context(), w.pool, w.conn, letters[0].ID, "tester", false))
	w.relayOutbox()
	w.folded("weights", events.TopicActions)
	if got := w.weight("ann", "category:promo"); got != float64(3)/5 {
		t.Errorf("weight %v in the live version, want 0.6", got)
	}
	compared, err := consumers.Compare(t.Context(), w.weights())
	must(t, err)
	if !compared.Equal() {
		t.Errorf("the rebuilt version differs: %+v", compared.Tables)
	}
}
