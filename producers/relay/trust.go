package relay

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/relaykey"
)

// selectTermKeysSQL reads by which key each term signs.
const selectTermKeysSQL = `SELECT relay_id, coalesce(key_number, 0) FROM relays`

// trust is by what the relay recognises its own records. It is immutable.
type trust struct {
	keys   *relaykey.Keys
	terms  map[events.UUID]int // the number of each term's key; 0: it began before records were signed
	source string
	warn   func(key int) // is told of a record that may be ours, but for a key that is not known
}

func (r *relay) loadTrust(ctx context.Context, conn *pgx.Conn, keys *relaykey.Keys, source string) (*trust, error) {
	rows, err := conn.Query(ctx, selectTermKeysSQL)
	if err != nil {
		return nil, fmt.Errorf("read relay terms: %w", err)
	}
	terms := map[events.UUID]int{}
	var id [16]byte
	var number int
	if _, err := pgx.ForEachRow(rows, []any{&id, &number}, func() error {
		terms[id] = number
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read relay terms: %w", err)
	}
	var once sync.Once // anybody can write such records
	warn := func(key int) {
		once.Do(func() {
			r.Log.Error("the log has records with our source that are signed by a key which is not known here. If the database was restored from a backup, "+
				"they are decisions that it lacks: give the relay the master secret (RELAY_SECRET_FILE) and start it again", "key", key)
		})
	}
	return &trust{keys, terms, source, warn}, nil
}

// with returns a trust that knows more terms.
func (t *trust) with(terms map[events.UUID]int) *trust {
	all := maps.Clone(t.terms)
	maps.Copy(all, terms)
	return &trust{t.keys, all, t.source, t.warn}
}

// keyOf returns the key by which the rows of a term are signed: the term's own or, if it began before records were signed,
// the current one.
func (t *trust) keyOf(relay events.UUID) *relaykey.Key {
	number := t.terms[relay]
	if number == 0 {
		return t.keys.Current()
	}
	key, _ := t.keys.Find(number)
	return key
}

// recognise tells whether a record with a relay sequence is ours: signed by the key of its term or, if the database does not
// know the term, by any of our keys. key is the one that signed it.
func (t *trust) recognise(signers relaykey.Signers, at topicPartition, head *events.Head, r *kafkalog.Record) (key *relaykey.Key, ours bool) {
	signature := events.SignatureOf(r.Headers)
	number, known := t.terms[head.Relay]
	if known && number == 0 && signature.Key == 0 {
		return nil, true
	}
	if known && number != 0 && number != signature.Key {
		return nil, false
	}
	if key, _ = t.keys.Find(signature.Key); key == nil {
		if signature.Key > 0 && head.Source == t.source {
			t.warn(signature.Key)
		}
		return nil, false
	}
	return key, signers.Of(key).Verify(signature, at.topic, at.partition, r.Key, r.Value, r.Headers)
}
