package consumers_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// mailLoop is a Loop whose mailbox is tested.
type mailLoop struct{ *grouptest.Loop }

func (w mailLoop) config() consumers.Config {
	w.Helper()
	return w.Weights(func(c *consumers.Config) { c.Group = mailbox.Group() })
}

func (w mailLoop) operator() *operate.Operator {
	w.Helper()
	cfg := w.config()
	w.Must(cfg.Validate())
	return &operate.Operator{Config: &cfg, Actor: "tester", Reason: "test"}
}

// foreign returns an event on the topic of mail as another team's service publishes it.
func (w mailLoop) foreign(e *events.Event) *kgo.Record {
	record := w.Foreign(e)
	record.Topic = w.Conn.Topic(events.TopicMail)
	return record
}

// own returns an event on the topic of mail as our relay publishes it; a redriven one keeps its source.
func (w mailLoop) own(e *events.Event, more ...kgo.RecordHeader) *kgo.Record {
	w.Helper()
	if len(more) == 0 {
		e.Source = w.Source
	} else {
		e.Source = "/upstream"
	}
	record := w.Record(e)
	record.Topic, record.Headers = w.Conn.Topic(events.TopicMail), append(record.Headers, more...)
	return w.Next(record)
}

// redriven returns a mail that was a dead letter once.
func (w mailLoop) redriven(user string, n int) *kgo.Record {
	return w.own(mail(user, n), kgo.RecordHeader{Key: events.HeaderRedriveGroup, Value: []byte("mailbox")},
		kgo.RecordHeader{Key: events.HeaderRedrivenFrom, Value: []byte("applylens.mail/0/999")})
}

func (w mailLoop) await() {
	w.Helper()
	w.AwaitFolded("mailbox", events.TopicMail)
}

func (w mailLoop) check(when string, want ...string) {
	w.Helper()
	got := world.Column[string](w, "SELECT message_id FROM live_mails ORDER BY message_id")
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// rereadLog is a log in which ann is erased, by whom the test says, and comes back: old mail, an erasure, new mail also from a dead
// letter, and the erasure sent again.
func (w mailLoop) rereadLog(erase func(*events.Event) *kgo.Record) []*kgo.Record {
	w.Helper()
	before := []*kgo.Record{w.foreign(mail("ann", 1)), w.redriven("ann", 2)}
	erasure := erase(erased("ann", 1))
	return append(before, erasure, w.foreign(mail("ann", 3)), w.redriven("ann", 4), erasure, w.foreign(mail("ann", 5)))
}

var newMail = []string{"3@ann", "4@ann", "5@ann"}

func eachProducer(t *testing.T, f func(w mailLoop, records []*kgo.Record)) {
	for name, erase := range map[string]func(mailLoop, *events.Event) *kgo.Record{
		"our erasure": func(w mailLoop, e *events.Event) *kgo.Record { return w.own(e) },
		"another's":   func(w mailLoop, e *events.Event) *kgo.Record { return w.foreign(e) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := mailLoop{grouptest.In(world.New(t).Kfake())}
			f(w, w.rereadLog(func(e *events.Event) *kgo.Record { return erase(w, e) }))
		})
	}
}

// Mail that is read again is folded again, so the erasures must be too: each where it was read first, and no repeat of it.
func TestErasedMailStaysAwayAfterRewind(t *testing.T) {
	eachProducer(t, func(w mailLoop, records []*kgo.Record) {
		w.Start(w.config())
		w.Publish(records...)
		w.await()
		w.check("at first", newMail...)
		for _, to := range []int64{0, 2, 1} {
			fetched := w.Ledger("mailbox").Fetched
			_, err := w.operator().Rewind(w.Context(), w.PartitionOf("ann"), to)
			w.Must(err)
			w.AwaitFetched("mailbox", fetched+int64(len(records))-to)
			w.check("read again", newMail...)
		}
		// What comes later is new again: an erasure sent once more takes nothing, a new one takes all.
		w.Publish(records[2])
		w.await()
		w.check("sent once more", newMail...)
		w.Publish(w.own(erased("ann", 2)))
		w.await()
		w.check("erased again")
	})
}

// A topic that is moved to another cluster is a new log with the same records. Its numbers are known, so that nothing counts twice.
func TestErasedMailStaysAwayInAMirroredTopic(t *testing.T) {
	eachProducer(t, func(w mailLoop, records []*kgo.Record) {
		stop := w.Start(w.config())
		w.Publish(records...)
		w.await()
		stop()
		w.RecreateTopic(events.TopicMail)
		fill := w.foreign(mail("bob", 1)) // the mirror need not have the same offsets
		fill.Partition = records[0].Partition
		w.Publish(slices.Concat([]*kgo.Record{fill}, records)...)
		w.Start(w.config())
		w.Eventually("the mailbox is halted", func() error {
			positions, err := w.Positions("mailbox", events.TopicMail)
			w.Must(err)
			return world.Want(slices.ContainsFunc(positions, func(p world.Position) bool { return p.Reason == string(ledger.ReasonRecreated) }), "%+v", positions)
		})
		_, err := w.operator().Adopt(w.Context(), -1)
		w.Must(err)
		w.await()
		w.check("mirrored", newMail...)
		w.Publish(records[2])
		w.await()
		w.check("sent once more", newMail...)
	})
}

// Groups that remember their events need nothing of this: what came after an erasure would be gone, since it is a repeat.
func TestErasureReadAgainTakesNoNewWeights(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.Publish(w.Own(world.Decision("ann", 1)), w.Own(erased("ann", 1)), w.Own(world.Decision("ann", 2)))
	w.AwaitWeights()
	_, err := w.Operator().Rewind(t.Context(), w.PartitionOf("ann"), 0)
	w.Must(err)
	w.AwaitFetched("weights", 6)
	if got := w.Weight("ann", "category:promo"); got != 0.2 {
		t.Errorf("weight %v, want 0.2: of the decision after the erasure", got)
	}
}
