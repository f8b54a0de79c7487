package consumers_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/relaykey"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// signatureOf returns the signature header of a record.
func signatureOf(r *kgo.Record) kgo.RecordHeader {
	for _, h := range r.Headers {
		if h.Key == events.HeaderRelaySignature {
			return h
		}
	}
	return kgo.RecordHeader{}
}

// Everything in a record of ours can be read by whoever can write to the topic, but for the key. A record that pretends to be
// the next of our relay must have no effect, and must not take the number of the one that really is.
func TestForgedStampsAreDeadLetters(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	own := func(n int) *kgo.Record { return unstamped(w, "ann", n) }
	with := func(r *kgo.Record, more ...kgo.RecordHeader) *kgo.Record {
		r.Headers = append(r.Headers, more...)
		return r
	}
	first := w.Own(world.Decision("ann", 1))
	unsigned := world.Stamp(own(2), w.Relay, 2)
	copied := with(world.Stamp(own(2), w.Relay, 2), signatureOf(first))
	invented := with(world.Stamp(own(2), w.Relay, 2), wireHeader(events.Signature{Key: 1}.Header()))
	otherKey := with(world.Stamp(own(2), w.Relay, 2), wireHeader(events.Signature{Key: 7}.Header()))
	malformed := with(world.Stamp(own(2), w.Relay, 2), kgo.RecordHeader{Key: events.HeaderRelaySignature, Value: []byte("1:x")})
	ahead := world.Stamp(own(2), w.Relay, 1000)
	changed := *first
	changed.Value = replace(first.Value, "category:promo", "category:other")
	erasure := world.Stamp(w.Record(&events.Event{
		Envelope: events.Envelope{ID: "e", Source: w.Source, Type: events.TypeUserErased},
		Erasure:  &events.Erasure{UserID: "ann", RecordedAt: world.Noon},
	}), w.Relay, 2)
	again := *first
	w.Publish(first, unsigned, copied, invented, otherKey, malformed, ahead, &changed, erasure, &again, w.Own(world.Decision("ann", 2)))
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 11, Applied: 2, Repeated: 1, DeadLettered: 8}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"signature": 8}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
	if got := w.Weight("ann", "category:promo"); got != 0.4 {
		t.Errorf("weight %v, want 0.4", got)
	}
}

func wireHeader(h events.Header) kgo.RecordHeader {
	return kgo.RecordHeader{Key: h.Key, Value: h.Value}
}

// A signature holds for the partition it was made for.
func TestSignedRecordCannotBeMovedToAnotherPartition(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	first := w.Own(world.Decision("ann", 1))
	moved := *first
	moved.Partition = (first.Partition + 1) % int32(w.Partitions)
	w.Publish(first, &moved)
	w.AwaitWeights()
	if diff := cmp.Diff(map[string]int{"signature": 1}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
}

// The relay gives a number to one event. If another event has it nevertheless, that event was not applied: it must not
// count as a repeat.
func TestAnotherEventUnderTheLastNumberIsNoRepeat(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	first := w.Own(world.Decision("ann", 1))
	w.Seqs[first.Partition]--
	w.Publish(first, w.Own(world.Decision("ann", 2)))
	w.AwaitWeights()
	if diff := cmp.Diff(map[string]int{"number": 1}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
	w.RedriveFirst()
	if got := w.Weight("ann", "category:promo"); got != 0.4 {
		t.Errorf("weight %v after redriving, want 0.4", got)
	}
}

// Whoever has got hold of a key can go on with the terms that sign with it, until the key is replaced.
func TestReplacedKeySignsNothingNew(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	secret := []byte(strings.Repeat("s", relaykey.SecretSize))
	old := w.Own(world.Decision("ann", 1))
	stolen := w.Own(world.Decision("ann", 2))
	w.Publish(old)
	_, err := relaykey.Rotate(t.Context(), w.Pool, secret, w.Source)
	w.Must(err)
	w.NewRelay()
	next := w.Own(world.Decision("ann", 3))
	if key := strings.Split(string(signatureOf(next).Value), ":")[0]; key != "2" {
		t.Fatalf("the new term signs with key %s", key)
	}
	w.Publish(next, old, stolen, w.Own(world.Decision("ann", 4)))
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 5, Applied: 3, Repeated: 1, DeadLettered: 1}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"signature": 1}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
}

// Terms from before records were signed have unsigned records up to where the log ended then. What waited then is signed by the
// next term's key. Anybody else's record under such a term is none of them.
func TestTermsFromBeforeSignatures(t *testing.T) {
	w := grouptest.New(t)
	before := events.NewUUIDv7(world.Noon)
	w.Exec("INSERT INTO relays (relay_id, started_at) VALUES ($1, now() - interval '1 hour')", before)
	topic, err := w.Conn.DescribeTopic(t.Context(), w.Conn.Topic(events.TopicActions))
	w.Must(err)
	w.Exec("INSERT INTO relay_partitions (cluster_id, topic, topic_id, partition, next_offset, unsigned_to) VALUES ($1, $2, $3, $4, 2, 2)",
		topic.Cluster, events.TopicActions, topic.ID, w.PartitionOf("ann"))
	own := func(n int) *kgo.Record { return unstamped(w, "ann", n) }
	w.Publish(world.Stamp(own(1), before, 1), world.Stamp(own(2), before, 2), // as they were
		world.Stamp(own(3), before, 3), world.Stamp(own(2), before, 2), // forged
		w.Sign(world.Stamp(own(4), before, 3)), w.Own(world.Decision("ann", 5)), w.Sign(world.Stamp(own(4), before, 3)))
	w.Start(w.Weights())
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 7, Applied: 4, Repeated: 1, DeadLettered: 2}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"signature": 2}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
}

// Records of a term that the database does not know, but signed by its key, show that the database is behind the log although
// it is on the server that it was always on: they wait for the relay.
func TestSignedRecordsOfUnknownTermsWait(t *testing.T) { termWaits(grouptest.New(t)) }

// Where reading begins in the middle of a log, terms that began earlier lack their first numbers. Those that begin later do
// not.
func TestOnlyEarlierTermsMayLackTheirFirstNumbers(t *testing.T) {
	w := grouptest.New(t)
	var early []*kgo.Record
	for n := range 4 {
		early = append(early, w.Own(world.Decision("ann", n)))
	}
	w.Publish(early...)
	w.DeleteBefore(events.TopicActions, w.PartitionOf("ann"), 2)
	w.Start(w.Weights())
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 2, Applied: 2}, w.Ledger("weights")); diff != "" {
		t.Fatal(diff)
	}
	w.NewRelay()
	w.Exec("UPDATE relays SET started_at = started_at + interval '1 minute' WHERE relay_id = $1", w.Relay)
	w.Own(world.Decision("ann", 4)) // lost
	w.Publish(w.Own(world.Decision("ann", 5)))
	w.AwaitHalt(ledger.ReasonSequence)
}

// An operator who gives up what is missing goes on behind it by what our relay signed, not by what anybody wrote.
func TestAdoptFollowsSignedNumbersOnly(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.Publish(w.Own(world.Decision("ann", 1)))
	w.AwaitWeights()
	w.Seqs[int32(w.PartitionOf("ann"))]++ // lost
	forged := world.Stamp(unstamped(w, "ann", 9), w.Relay, 5000)
	w.Publish(w.Own(world.Decision("ann", 3)), forged, w.Own(world.Decision("ann", 4)))
	w.AwaitHalt(ledger.ReasonSequence)
	w.FollowRemedy(1, -1)
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 4, Applied: 3, DeadLettered: 1}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if last := world.Scalar[int64](w, "SELECT max(last_seq) FROM relay_sequences WHERE group_name = 'weights'"); last != 4 {
		t.Errorf("the last number is %d, want 4", last)
	}
}
