// Package relaykey keeps the keys by which the relay signs the records that it publishes, so that nobody else who can write
// to Kafka can speak for it. The keys are in PostgreSQL, for the consumers to check records by. They derive from a master
// secret that is kept outside of the database and its backups: a database restored from a backup that is older than the
// current key gets that key back.
//
// Each relay term signs with one key, the current one when it began. A key that was replaced still verifies the records of its
// terms, for ever. The package signs nothing itself and shows no key.
package relaykey

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

// SecretSize is the number of bytes that a master secret has at least.
const SecretSize = 32

// Querier is what reads from a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// DB is a pool, a connection or a transaction.
type DB = postgres.DB

const (
	selectKeys = `SELECT number, key, derived, created_at FROM relay_keys ORDER BY number`

	selectKey = `SELECT number, key, derived, created_at FROM relay_keys WHERE number = $1`

	selectNewest = `SELECT coalesce(max(number), 0) FROM relay_keys`

	insertKey = `INSERT INTO relay_keys (number, key, derived) VALUES ($1, $2, $3) ON CONFLICT (number) DO NOTHING`
)

// Key is one of the deployment's keys.
type Key struct {
	Number  int
	Derived bool // from the master secret
	Created time.Time
	bytes   []byte
}

// Signer returns a Signer of the key. A Signer is for one goroutine.
func (k *Key) Signer() *events.Signer { return events.NewSigner(k.Number, k.bytes) }

// Signers are the signers of one goroutine, by the numbers of their keys.
type Signers map[int]*events.Signer

// Of returns the signer of a key.
func (s Signers) Of(key *Key) *events.Signer {
	signer := s[key.Number]
	if signer == nil {
		signer = key.Signer()
		s[key.Number] = signer
	}
	return signer
}

func scanKey(row pgx.Row) (k Key, err error) {
	return k, row.Scan(&k.Number, &k.bytes, &k.Derived, &k.Created)
}

// Keys are the keys of a deployment. They are immutable.
type Keys struct {
	list   []Key
	secret []byte // nil if it is not set or does not fit
	source string
	fault  error
}

// ErrNoSecret tells that a key cannot be made, since the master secret is not set.
var ErrNoSecret = errors.New("the master secret of the relay's keys is not set: set --relay-secret-file or RELAY_SECRET_FILE")

// Load reads the keys of the deployment with that ce_source. secret is the master secret, nil if it is not known here.
func Load(ctx context.Context, db Querier, secret []byte, source string) (*Keys, error) {
	if err := CheckSecret(secret); err != nil {
		return nil, err
	}
	rows, err := db.Query(ctx, selectKeys)
	if err != nil {
		return nil, fmt.Errorf("read relay keys: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Key, error) { return scanKey(row) })
	if err != nil {
		return nil, fmt.Errorf("read relay keys: %w", err)
	}
	keys := &Keys{list: list, secret: secret, source: source}
	if keys.fault = keys.check(); keys.fault != nil {
		keys.secret = nil
	}
	return keys, nil
}

// Ensure is Load that makes the first key if there is none: from the secret, or at random without one.
func Ensure(ctx context.Context, db DB, secret []byte, source string) (*Keys, error) {
	keys, err := Load(ctx, db, secret, source)
	if err != nil || len(keys.list) > 0 {
		return keys, err
	}
	first := Key{Number: 1}
	if secret == nil {
		first.bytes = make([]byte, events.KeySize)
		_, _ = rand.Read(first.bytes)
	} else {
		first = keys.derive(1)
	}
	if err := Add(ctx, db, &first); err != nil {
		return nil, err
	}
	return Load(ctx, db, secret, source)
}

// Rotate makes a new key, with which the terms sign that begin from now on. Without a secret it returns ErrNoSecret.
func Rotate(ctx context.Context, db DB, secret []byte, source string) (*Key, error) {
	if secret == nil {
		return nil, ErrNoSecret
	}
	keys, err := Ensure(ctx, db, secret, source)
	if err == nil {
		err = keys.fault
	}
	if err != nil {
		return nil, err
	}
	next := keys.derive(keys.Current().Number + 1)
	return &next, Add(ctx, db, &next)
}

// FindStored returns the stored key with that number, nil if there is none.
func FindStored(ctx context.Context, db Querier, number int) (*Key, error) {
	key, err := scanKey(db.QueryRow(ctx, selectKey, number))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up relay key %d: %w", number, err)
	}
	return &key, nil
}

// Newest returns the greatest number of a key, 0 if there is none.
func Newest(ctx context.Context, db Querier) (number int, err error) {
	if err := db.QueryRow(ctx, selectNewest).Scan(&number); err != nil {
		return 0, fmt.Errorf("read the newest relay key: %w", err)
	}
	return number, nil
}

// Add stores a key, unless its number is there already.
func Add(ctx context.Context, db DB, key *Key) error {
	if _, err := db.Exec(ctx, insertKey, key.Number, key.bytes, key.Derived); err != nil {
		return fmt.Errorf("store relay key %d: %w", key.Number, err)
	}
	return nil
}

// Fault tells that the stored keys do not derive from the secret, which is ignored then; nil if it fits or is not set.
func (k *Keys) Fault() error { return k.fault }

// All returns the stored keys by number.
func (k *Keys) All() []Key { return k.list }

// Current returns the key with the greatest number, nil if there is none.
func (k *Keys) Current() *Key {
	if len(k.list) == 0 {
		return nil
	}
	return &k.list[len(k.list)-1]
}

// mostRotations bounds for how many numbers above the current one a key is derived: anybody can write a number.
const mostRotations = 1000

// Find returns the key of that number, nil if it is neither stored nor can be derived from the secret.
func (k *Keys) Find(number int) (key *Key, stored bool) {
	last := 0
	for i := range k.list {
		if last = k.list[i].Number; last == number {
			return &k.list[i], true
		}
	}
	if k.secret == nil || number < 1 || number > last+mostRotations {
		return nil, false
	}
	derived := k.derive(number)
	return &derived, false
}

// derive makes a key by HKDF with SHA-256 (RFC 5869), separately for each deployment that may have the same secret.
func (k *Keys) derive(number int) Key {
	bytes, err := hkdf.Key(sha256.New, k.secret, []byte(k.source), "applylens relay key "+strconv.Itoa(number), events.KeySize)
	if err != nil {
		panic(err) // only for a length that HKDF cannot make
	}
	return Key{Number: number, Derived: true, bytes: bytes}
}

// check compares the stored keys with the secret.
func (k *Keys) check() error {
	if k.secret == nil {
		return nil
	}
	for i := range k.list {
		if stored := &k.list[i]; stored.Derived && string(stored.bytes) != string(k.derive(stored.Number).bytes) {
			return fmt.Errorf("relay key %d does not derive from the master secret: --relay-secret-file or RELAY_SECRET_FILE is that of another deployment, or was replaced", stored.Number)
		}
	}
	return nil
}

// CheckSecret returns an error if the master secret is too short; nil is none.
func CheckSecret(secret []byte) error {
	if secret != nil && len(secret) < SecretSize {
		return fmt.Errorf("the master secret of the relay's keys has %d bytes: it needs at least %d random ones, such as those of openssl rand -hex 32", len(secret), SecretSize)
	}
	return nil
}
