package secrets_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/applylens/applylens/internal/secrets"
)

func parse(t *testing.T, lines ...string) *secrets.Keys {
	t.Helper()
	keys, err := secrets.Parse(strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestSealAndOpen(t *testing.T) {
	old, young := secrets.Generate(), secrets.Generate()
	keys := parse(t, "# of 2026", old, "")
	sealed := keys.Seal(secrets.New("open sesame"), "account 1", "ann")
	if bytes.Contains(sealed, []byte("sesame")) {
		t.Fatal("the sealed secret has the secret")
	}
	open := func(name string, keys *secrets.Keys, sealed []byte, want error, owner ...string) {
		t.Helper()
		secret, err := keys.Open(sealed, owner...)
		if !errors.Is(err, want) || want == nil && secret.Reveal() != "open sesame" || want != nil && !secret.Empty() {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	open("as it was", keys, sealed, nil, "account 1", "ann")
	open("another person", keys, sealed, secrets.ErrMoved, "account 1", "bob")
	open("another account", keys, sealed, secrets.ErrMoved, "account 2", "ann")
	open("parts cut otherwise", keys, sealed, secrets.ErrMoved, "account 1a", "nn")
	open("another key", parse(t, young), sealed, secrets.ErrNoKey, "account 1", "ann")
	open("rotated", parse(t, young, old), sealed, nil, "account 1", "ann")
	open("nothing", keys, nil, secrets.ErrMoved, "account 1", "ann")
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := keys.Open(changed, "account 1", "ann"); err == nil {
			t.Errorf("opened with another byte %d", i)
		}
		if _, err := keys.Open(sealed[:i], "account 1", "ann"); err == nil {
			t.Errorf("opened with %d bytes", i)
		}
	}
	if again := keys.Seal(secrets.New("open sesame"), "account 1", "ann"); bytes.Equal(again, sealed) {
		t.Error("the same secret is sealed alike")
	}
	if rotated := parse(t, young, old); rotated.Current(sealed) || !rotated.Current(rotated.Seal(secrets.New(""))) {
		t.Error("which secrets are to be sealed anew is not known")
	}
}

func TestWrongKeysAreRefused(t *testing.T) {
	for _, text := range []string{"", "# only a comment", "short", "c2hvcnQ=", secrets.Generate() + "\nbroken"} {
		if _, err := secrets.Parse(text); err == nil {
			t.Errorf("%q is taken for keys", text)
		} else if strings.Contains(err.Error(), "broken") || strings.Contains(err.Error(), "short") {
			t.Errorf("the error has the key: %v", err)
		}
	}
}

func TestASecretShowsItselfNowhere(t *testing.T) {
	type account struct{ Secret secrets.Secret }
	held := account{secrets.New("sesame")}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", held.Secret, "account", held)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", held.Secret, "account", held)
	text, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all += fmt.Sprintf(verb, held) + fmt.Sprintf(verb, held.Secret) + fmt.Sprintf(verb, &held)
	}
	if strings.Contains(all, "sesame") || strings.Contains(all, fmt.Sprintf("%x", "sesame")) {
		t.Errorf("the secret shows itself: %s", all)
	}
}
