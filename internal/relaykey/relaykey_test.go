package relaykey_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/relaykey"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

const source = "/applylens/test"

var secret = bytes.Repeat([]byte("s"), relaykey.SecretSize)

// mark identifies a key by what it signs.
func mark(key *relaykey.Key) events.Signature {
	return key.Signer().Sign("topic", 0, nil, nil, nil)
}

func ensure(t *testing.T, pool *pgxpool.Pool, secret []byte) *relaykey.Keys {
	t.Helper()
	keys, err := relaykey.Ensure(t.Context(), pool, secret, source)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestKeysAreMadeOnce(t *testing.T) {
	for name, secret := range map[string][]byte{"derived": secret, "random": nil} {
		t.Run(name, func(t *testing.T) {
			pool, _ := testenv.Database(t)
			first := ensure(t, pool, secret).Current()
			again := ensure(t, pool, secret).Current()
			if first.Number != 1 || first.Derived != (secret != nil) || mark(first) != mark(again) {
				t.Errorf("first %d, derived %t; the second call finds another: %t", first.Number, first.Derived, mark(first) != mark(again))
			}
		})
	}
}

func TestKeysDeriveFromSecretAndDeployment(t *testing.T) {
	pool, _ := testenv.Database(t)
	keys := ensure(t, pool, secret)
	rotated, err := relaykey.Rotate(t.Context(), pool, secret, source)
	if err != nil {
		t.Fatal(err)
	}
	derived, stored := keys.Find(2) // keys were loaded before
	if stored || derived == nil || mark(derived) != mark(rotated) || mark(derived) == mark(keys.Current()) {
		t.Error("a key that is not stored does not derive from the secret")
	}
	if other := ensure(t, pool, nil); len(other.All()) != 2 || mark(other.Current()) != mark(rotated) {
		t.Error("without the secret the stored keys are not found")
	} else if missing, _ := other.Find(3); missing != nil {
		t.Error("a key without a secret")
	}
	elsewhere, _ := testenv.Database(t)
	another, err := relaykey.Ensure(t.Context(), elsewhere, secret, "/applylens/other")
	if err != nil || mark(another.Current()) == mark(keys.Current()) {
		t.Errorf("two deployments with one secret have one key: %v", err)
	}
	for _, number := range []int{0, -1, 1 << 30} {
		if key, _ := keys.Find(number); key != nil {
			t.Errorf("there is a key %d", number)
		}
	}
}

func TestRotatingNeedsTheRightSecret(t *testing.T) {
	pool, _ := testenv.Database(t)
	ensure(t, pool, secret)
	if _, err := relaykey.Rotate(t.Context(), pool, nil, source); !errors.Is(err, relaykey.ErrNoSecret) {
		t.Errorf("without a secret: %v", err)
	}
	wrong := bytes.Repeat([]byte("w"), relaykey.SecretSize)
	if _, err := relaykey.Rotate(t.Context(), pool, wrong, source); err == nil || !strings.Contains(err.Error(), "does not derive") {
		t.Errorf("with another secret: %v", err)
	}
	if _, err := relaykey.Rotate(t.Context(), pool, []byte("short"), source); err == nil || !strings.Contains(err.Error(), "at least 32") {
		t.Errorf("with a short secret: %v", err)
	}
	keys := ensure(t, pool, wrong)
	if keys.Fault() == nil || len(keys.All()) != 1 {
		t.Errorf("fault %v with another secret, %d keys", keys.Fault(), len(keys.All()))
	}
	if key, _ := keys.Find(2); key != nil {
		t.Error("a key derives from a secret that does not fit")
	}
}
