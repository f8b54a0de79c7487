package consumers

import (
	"context"
	"strconv"
	"sync"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/relaykey"
)

// relayTerms remembers the relay terms that are ours, and the keys of the deployment. Both are added all the time, so what is
// unknown is looked up.
type relayTerms struct {
	db    ledger.Querier
	mu    sync.Mutex
	known map[events.UUID]*ledger.RelayTerm
	keys  map[int]*relaykey.Key
}

// find returns a term, nil if it is not ours. It returns outbox.ErrRestored if the database may lack it: then it is for the
// relay to say.
func (r *relayTerms) find(ctx context.Context, id events.UUID) (*ledger.RelayTerm, error) {
	r.mu.Lock()
	term := r.known[id]
	r.mu.Unlock()
	if term != nil {
		return term, nil
	}
	term, err := ledger.FindRelayTerm(ctx, r.db, id)
	if err != nil {
		return nil, err
	}
	if term == nil {
		restored, err := outbox.Restored(ctx, r.db)
		if err == nil && restored {
			err = outbox.ErrRestored
		}
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[events.UUID]*ledger.RelayTerm{}
	}
	r.known[id] = term
	return term, nil
}

// key returns a key of ours, nil if there is none with that number.
func (r *relayTerms) key(ctx context.Context, number int) (*relaykey.Key, error) {
	r.mu.Lock()
	key := r.keys[number]
	r.mu.Unlock()
	if key != nil {
		return key, nil
	}
	key, err := relaykey.FindStored(ctx, r.db, number)
	if err != nil || key == nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = map[int]*relaykey.Key{}
	}
	r.keys[number] = key
	return key, nil
}

// Verifier tells which records our relay published. It is for use by one goroutine.
type Verifier struct {
	terms   *relayTerms
	topic   string        // without prefix
	ends    map[int]int64 // up to where partitions may have unsigned records of ours
	signers relaykey.Signers

	relay  events.UUID // the last one found, which is nearly always the next one too
	term   *ledger.RelayTerm
	signer *events.Signer
}

// NewVerifier returns a Verifier for the records of a log.
func NewVerifier(ctx context.Context, db ledger.Querier, log *ledger.Log) (*Verifier, error) {
	ends, err := log.Unsigned(ctx, db)
	return newVerifier(&relayTerms{db: db}, log.Topic, ends), err
}

func newVerifier(terms *relayTerms, topic string, ends map[int]int64) *Verifier {
	return &Verifier{terms: terms, topic: topic, ends: ends, signers: relaykey.Signers{}}
}

// Check returns the term of a record that carries a relay sequence. It returns a refusal as its error if the record is not as
// our relay published it, and outbox.ErrRestored if that cannot be told before the relay has caught up with the log.
func (v *Verifier) Check(ctx context.Context, partition int, relay events.UUID, r *kafkalog.Record) (*ledger.RelayTerm, error) {
	signature := events.SignatureOf(r.Headers)
	if relay != v.relay {
		if err := v.turnTo(ctx, relay); err != nil {
			return nil, err
		}
	}
	switch {
	case v.term == nil:
		return nil, v.refuseUnknown(ctx, partition, signature, r)
	case failpoint.Broken("signatures"):
	case v.term.Key == 0:
		return v.term, v.checkEarly(ctx, partition, signature, r)
	case v.term.Key != signature.Key:
		return nil, refuse(reasonSignature, "it carries the stamp of our relay, but not the signature of that relay's key %d", v.term.Key)
	case !v.signer.Verify(signature, v.topic, partition, r.Key, r.Value, r.Headers):
		return nil, refuse(reasonSignature, "it carries the stamp of our relay and a wrong signature: somebody else wrote or changed it")
	}
	return v.term, nil
}

// turnTo makes a term the one to check records by. One that is not ours is looked up again for its next record.
func (v *Verifier) turnTo(ctx context.Context, relay events.UUID) error {
	v.relay, v.term, v.signer = events.UUID{}, nil, nil
	term, err := v.terms.find(ctx, relay)
	if err != nil || term == nil {
		return err
	}
	if term.Key > 0 {
		key, err := v.terms.key(ctx, term.Key)
		switch {
		case err != nil:
			return err
		case key == nil: // the term was read before the restore, the key after it
			return outbox.ErrRestored
		}
		v.signer = v.signers.Of(key)
	}
	v.relay, v.term = relay, term
	return nil
}

// checkEarly checks a record of a term that began before records were signed. What was published then is unsigned; what waited
// then is signed by a later term's key.
func (v *Verifier) checkEarly(ctx context.Context, partition int, signature events.Signature, r *kafkalog.Record) error {
	if signature.Key == 0 && r.Offset < v.ends[partition] {
		return nil
	}
	signed, err := v.signedByUs(ctx, partition, signature, r)
	if err == nil && !signed {
		err = refuse(reasonSignature, "it carries the stamp of our relay and no right signature, and stands behind offset %d, up to which there were none", v.ends[partition])
	}
	return err
}

// signedByUs tells whether any of our keys signed a record.
func (v *Verifier) signedByUs(ctx context.Context, partition int, signature events.Signature, r *kafkalog.Record) (bool, error) {
	if signature.Key == 0 {
		return false, nil
	}
	key, err := v.terms.key(ctx, signature.Key)
	if err != nil || key == nil {
		return false, err
	}
	return v.signers.Of(key).Verify(signature, v.topic, partition, r.Key, r.Value, r.Headers), nil
}

// refuseUnknown refuses the record of an unknown term. One that is signed by a key of ours proves that the database lost the
// term: it waits for the relay to put that back.
func (v *Verifier) refuseUnknown(ctx context.Context, partition int, signature events.Signature, r *kafkalog.Record) error {
	signed, err := v.signedByUs(ctx, partition, signature, r)
	if err != nil {
		return err
	}
	if signed {
		return outbox.ErrRestored
	}
	return refuse(reasonSource, "it carries the stamp of a relay that is not ours")
}

// StampOf reads the relay's stamp of a record whose other headers may be damaged; zero when there is none.
func StampOf(headers []events.Header) events.Stamp {
	var stamp events.Stamp
	for _, h := range headers {
		switch h.Key {
		case events.HeaderRelayID:
			stamp.Relay, _ = events.ParseUUID(h.Value)
		case events.HeaderRelaySeq:
			stamp.Seq, _ = strconv.ParseInt(string(h.Value), 10, 64)
		}
	}
	if stamp.Relay.IsZero() || stamp.Seq < 1 {
		return events.Stamp{}
	}
	return stamp
}

// Stamp returns the stamp of a record that our relay published, zero for all others.
func (v *Verifier) Stamp(ctx context.Context, partition int, r *kafkalog.Record) (events.Stamp, error) {
	stamp := StampOf(r.Headers)
	if stamp.Relay.IsZero() {
		return stamp, nil
	}
	_, err := v.Check(ctx, partition, stamp.Relay, r)
	if isRefusal(err) {
		return events.Stamp{}, nil
	}
	return stamp, err
}
