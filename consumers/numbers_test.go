package consumers_test

import (
	"testing"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/consumers/rebuild"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// The relay published a record before it knew that earlier ones were cut off, and then all of them again. Passing over
// the one that came too early loses nothing, live and in a rebuild.
func TestRecordThatCameTooEarlyIsPassedOver(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	user := w.UsersOf(1, 1)[0]
	first, second, third := w.Own(world.Decision(user, 1)), w.Own(world.Decision(user, 2)), w.Own(world.Decision(user, 3))
	w.Publish(first, third)
	w.AwaitHalt(ledger.ReasonSequence)
	w.Publish(second, third, w.Own(world.Decision(user, 4)))
	_, err := w.Operator().Skip(t.Context(), 1, 2)
	w.Must(err)
	w.AwaitWeights()
	if got := w.Weight(user, "category:promo"); got != 0.8 {
		t.Errorf("weight %v, want 0.8", got)
	}
	_, err = rebuild.Run(t.Context(), w.Weights(), false)
	w.Must(err)
	compared, err := rebuild.Compare(t.Context(), w.Weights())
	w.Must(err)
	if !compared.Equal() {
		t.Errorf("the rebuilt version differs: %+v", compared.Tables)
	}
}

// Passing over records that were applied before must not make later ones count again.
func TestSkipAfterRewindCountsNothingTwice(t *testing.T) {
	w := grouptest.New(t)
	stop := w.Start(w.Weights())
	user := w.UsersOf(1, 1)[0]
	for n := range 5 {
		w.Publish(w.Own(world.Decision(user, n)))
	}
	w.AwaitWeights()
	stop()
	_, err := w.Operator().Rewind(t.Context(), 1, 0)
	w.Must(err)
	_, err = w.Operator().Skip(t.Context(), 1, 2)
	w.Must(err)
	if moves, err := w.Operator().Skip(t.Context(), 1, 1); err == nil {
		t.Errorf("skipping to below the position gives %+v", moves)
	}
	w.Start(w.Weights())
	w.AwaitWeights()
	if got := w.Weight(user, "category:promo"); got != 1 {
		t.Errorf("weight %v, want 1", got)
	}
}

// Skipping to the log's start, as the halt says, is all that a gap asks for.
func TestGapNeedsOneVerb(t *testing.T) {
	for _, verb := range []string{"skip", "adopt"} {
		t.Run(verb, func(t *testing.T) {
			w := grouptest.New(t)
			stop := w.Start(w.Weights())
			user := w.UsersOf(1, 1)[0]
			w.Publish(w.Own(world.Decision(user, 0)))
			w.AwaitWeights()
			stop()
			for n := 1; n <= 5; n++ {
				w.Publish(w.Own(world.Decision(user, n)))
			}
			w.DeleteBefore(events.TopicActions, 1, 4)
			w.Start(w.Weights())
			w.AwaitHalt(ledger.ReasonGap)
			var err error
			if verb == "skip" {
				_, err = w.Operator().Skip(t.Context(), 1, 4)
			} else {
				_, err = w.Operator().Adopt(t.Context(), 1)
			}
			w.Must(err)
			w.AwaitWeights()
			if got := w.Weight(user, "category:promo"); got != float64(3)/5 {
				t.Errorf("weight %v, want 0.6", got)
			}
		})
	}
}

// A record that only a stricter, later version refuses is redriven for that version alone.
func TestRedriveHasNoSecondEffectInAnEarlierVersion(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	strange := world.Decision("ann", 1)
	w.Publish(w.Own(world.Decision("ann", 0)), w.Own(strange), w.Own(world.Decision("ann", 2)))
	w.AwaitWeights()
	_, err := rebuild.Run(t.Context(), w.Weights(grouptest.FailingAt(strange)), false)
	w.Must(err)
	if diff := cmp.Diff(map[string]int{"panic": 1}, w.DeadLetters("weights")); diff != "" {
		t.Fatal(diff)
	}
	w.RedriveFirst()
	if got := w.Weight("ann", "category:promo"); got != float64(3)/5 {
		t.Errorf("weight %v in the live version, want 0.6", got)
	}
	compared, err := rebuild.Compare(t.Context(), w.Weights())
	w.Must(err)
	if !compared.Equal() {
		t.Errorf("the rebuilt version differs: %+v", compared.Tables)
	}
}

// Records that unpack to a hundred times what was fetched are passed over in steps, so that memory is bounded.
func TestSkipIsBounded(t *testing.T) {
	w := grouptest.New(t)
	stop := w.Start(w.Weights())
	w.Publish(w.Own(world.Decision(w.UsersOf(1, 1)[0], 0)))
	w.AwaitWeights()
	stop()
	packing := w.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(64<<20))
	var records []*kgo.Record
	for range 12 {
		records = append(records, &kgo.Record{Topic: w.Conn.Topic(events.TopicActions), Partition: 1, Value: make([]byte, 4<<20)})
	}
	w.Must(packing.ProduceSync(t.Context(), records...).FirstErr())
	moves, err := w.Operator().Skip(t.Context(), 1, 12)
	w.Must(err)
	if diff := cmp.Diff([]operate.Move{{Partition: 1, From: 1, To: 12, Skipped: 11}}, moves); diff != "" {
		t.Error(diff)
	}
	if steps := w.Int("SELECT count(*) FROM position_audit WHERE verb = 'skip'"); steps < 3 {
		t.Errorf("%d steps, want at least 3", steps)
	}
	if letters := w.Int("SELECT count(DISTINCT log_offset) FROM dead_letters"); letters != 11 {
		t.Errorf("%d dead letters, want 11", letters)
	}
}
