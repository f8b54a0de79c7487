package relay

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/relaykey"
	"github.com/applylens/applylens/internal/testkit/world"
)

var secret = bytes.Repeat([]byte("s"), relaykey.SecretSize)

// records reads all records of the actions of one partition.
func (w *deployment) records() []*kgo.Record {
	w.Helper()
	total := int64(len(w.log()))
	client, err := kgo.NewClient(kgo.SeedBrokers(w.Conn.Brokers...), kgo.ConsumeTopics(w.Conn.Topic(events.TopicActions)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.Must(err)
	defer client.Close()
	var list []*kgo.Record
	for int64(len(list)) < total {
		fetches := client.PollFetches(w.Context())
		w.Must(fetches.Err())
		list = append(list, fetches.Records()...)
	}
	return list
}

// checkSignatures fails unless every record of the log that has a relay sequence is signed by the key with that number.
func (w *deployment) checkSignatures(keys *relaykey.Keys, want map[int]int) {
	w.Helper()
	got, signers := map[int]int{}, relaykey.Signers{}
	for _, r := range w.records() {
		headers := make([]events.Header, len(r.Headers))
		for i, h := range r.Headers {
			headers[i] = events.Header{Key: h.Key, Value: h.Value}
		}
		signature := events.SignatureOf(headers)
		key, _ := keys.Find(signature.Key)
		if key == nil || !signers.Of(key).Verify(signature, events.TopicActions, int(r.Partition), r.Key, r.Value, headers) {
			w.Errorf("partition %d offset %d is not signed", r.Partition, r.Offset)
		}
		got[signature.Key]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("records by key (-want +got):\n%s", diff)
	}
}

func (w *deployment) keys() *relaykey.Keys {
	w.Helper()
	keys, err := relaykey.Load(w.Context(), w.Pool, w.secret, w.Source)
	w.Must(err)
	return keys
}

func TestEveryRecordIsSigned(t *testing.T) {
	w := newDeployment(t)
	w.add(20, "ann", "bob", "cid")
	w.Exec("UPDATE outbox SET state = 'void' WHERE seq = 3")
	w.Exec("UPDATE outbox SET headers = '1' WHERE seq = 5") // can never be published
	w.start()
	w.AwaitPublished()
	w.checkSignatures(w.keys(), map[int]int{1: 20})
}

// A key that is replaced while the relay leads signs nothing more; rows of the earlier term go out under that term's key.
func TestReplacedKeyIsTakenUp(t *testing.T) {
	w := newDeployment(t)
	w.secret = secret
	w.add(10, "ann", "bob")
	w.start()
	w.AwaitPublished()
	_, err := relaykey.Rotate(t.Context(), w.Pool, secret, w.Source)
	w.Must(err)
	w.Until("a term with the new key has begun", func() bool { return w.Int("SELECT count(*) FROM relays WHERE key_number = 2") == 1 })
	w.add(5, "ann", "bob")
	w.AwaitPublished()
	w.checkLog()
	w.checkSignatures(w.keys(), map[int]int{1: 10, 2: 5})
}

// A backup may be older than the current key. The key derives from the secret, so that the log's records are still ours.
func TestKeyThatTheBackupLacksIsDerived(t *testing.T) {
	w := newDeployment(t)
	w.secret = secret
	stop := w.start()
	w.add(10, "ann", "bob")
	w.AwaitPublished()
	stop()
	_, err := relaykey.Rotate(t.Context(), w.Pool, secret, w.Source)
	w.Must(err)
	stop = w.start()
	w.add(10, "ann", "bob")
	w.AwaitPublished()
	stop()
	w.forget(10, 20)
	w.Exec("DELETE FROM relays WHERE key_number = 2")
	w.Exec("DELETE FROM relay_keys WHERE number = 2")
	w.start()
	w.accepted()
	w.add(5, "ann", "bob")
	w.AwaitPublished()
	if repeats := w.checkLog(); repeats != 0 {
		t.Errorf("%d repeats, want none: the rows are in the log", repeats)
	}
	w.checkSignatures(w.keys(), map[int]int{1: 10, 2: 15})
}

// Without the secret nobody can tell such records from forged ones: the relay says what is missing, and takes nothing over.
func TestKeyThatIsNotKnownIsNamed(t *testing.T) {
	w := newDeployment(t)
	w.secret = secret
	stop := w.start()
	w.add(3, "ann")
	w.AwaitPublished()
	stop()
	_, err := relaykey.Rotate(t.Context(), w.Pool, secret, w.Source)
	w.Must(err)
	stop = w.start()
	w.add(3, "ann")
	w.AwaitPublished()
	stop()
	w.forget(3, 3)
	w.Exec("DELETE FROM relays WHERE key_number = 2")
	w.Exec("DELETE FROM relay_keys WHERE number = 2")
	terms := w.Int("SELECT count(*) FROM relays")
	w.secret = nil
	w.start()
	w.accepted()
	if !strings.Contains(w.Logs.String(), "RELAY_SECRET_FILE") {
		t.Error("the log does not say what is missing")
	}
	if n := w.Int("SELECT count(*) FROM relays"); n != terms+1 {
		t.Errorf("%d terms, want %d", n, terms+1)
	}
}

// forged returns an event with our source and a relay sequence, as anybody who reads the topic can make it.
func (w *deployment) forged(event *events.Event, relay events.UUID, seq int64) *kgo.Record {
	event.Source, event.ID = w.Source, events.NewUUIDv7(recorded).String()
	return world.Stamp(w.Record(event), relay, seq)
}

// Nobody erases a person, or adds a term, by a record that our relay did not sign: neither while the database is known to be
// restored nor otherwise.
func TestForgedErasureErasesNobody(t *testing.T) {
	for name, restored := range map[string]bool{"as ever": false, "restored": true} {
		t.Run(name, func(t *testing.T) {
			w := newDeployment(t)
			w.Exec("INSERT INTO users (id) VALUES ('ann')")
			w.Exec("INSERT INTO tokens (hash, user_id, kind) VALUES ('a', 'ann', 'bearer')")
			w.add(3, "ann")
			stop := w.start()
			w.AwaitPublished()
			stop()
			ours := w.log()[0].sequence.Relay
			later := recorded.AddDate(10, 0, 0)
			copied := w.forged(erasure("ann", later), events.NewUUIDv7(recorded), 1)
			copied.Headers = append(copied.Headers, signatureHeader(w.records()[0]))
			w.Publish(w.forged(erasure("ann", later), events.NewUUIDv7(recorded), 1), w.forged(erasure("ann", later), ours, 4), copied)
			if restored {
				w.Exec("UPDATE deployment SET timeline_id = timeline_id - 1")
			}
			terms := w.Int("SELECT count(*) FROM relays")
			w.start()
			w.accepted()
			w.add(1, "ann")
			w.AwaitPublished()
			if diff := cmp.Diff([]string{"ann 0 1"}, w.people()); diff != "" {
				t.Errorf("persons, their actions and tokens (-want +got):\n%s", diff)
			}
			if n := w.Int("SELECT count(*) FROM relays"); n != terms+1 {
				t.Errorf("%d terms, want %d", n, terms+1)
			}
		})
	}
}

func signatureHeader(r *kgo.Record) kgo.RecordHeader {
	for _, h := range r.Headers {
		if h.Key == events.HeaderRelaySignature {
			return h
		}
	}
	return kgo.RecordHeader{}
}
