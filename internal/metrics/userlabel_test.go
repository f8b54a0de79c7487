package metrics

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func label(t *testing.T, mode, key string) *UserLabel {
	t.Helper()
	users, err := NewUserLabel(mode, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return users
}

func TestUserLabel(t *testing.T) {
	const ada = "ada@example.com"
	if got := label(t, UserPlain, "").Of(ada); got != ada {
		t.Errorf("plain: %q", got)
	}
	if got := label(t, UserOff, "").Of(ada); got != "" {
		t.Errorf("off: %q", got)
	}
	hashed := label(t, UserHash, "key").Of(ada)
	if len(hashed) != 16 || strings.Contains(hashed, "ada") {
		t.Errorf("hash: %q", hashed)
	}
	if again := label(t, UserHash, "key").Of(ada); again != hashed {
		t.Errorf("the same key gives %q and %q", hashed, again)
	}
	if other := label(t, UserHash, "another key").Of(ada); other == hashed {
		t.Error("two keys give the same label")
	}
	if _, err := NewUserLabel("sha1", nil); err == nil {
		t.Error("an unknown mode is accepted")
	}
}

func TestUserLabelIsBounded(t *testing.T) {
	users := label(t, UserHash, "key")
	first := users.Of("user 0")
	for i := range maxUsers {
		if got := users.Of(fmt.Sprint("user ", i)); got == Other {
			t.Fatalf("user %d has no label of its own", i)
		}
	}
	if got := users.Of("one more"); got != Other {
		t.Errorf("one more has label %q", got)
	}
	if got := users.Of("user 0"); got != first {
		t.Errorf("the first label changed from %q to %q", first, got)
	}
}

func TestForgettingDropsSeriesAndMakesRoom(t *testing.T) {
	for _, mode := range []string{UserHash, UserPlain} {
		users, counter := label(t, mode, "key"), Counter(nil, "things_total", "Things.", "kind", "user")
		for i := range maxUsers {
			counter.WithLabelValues("a", users.Of(fmt.Sprint("user ", i))).Inc()
			counter.WithLabelValues("b", users.Of(fmt.Sprint("user ", i))).Inc()
		}
		users.Forget("user 7", counter)
		if got := testutil.CollectAndCount(counter); got != 2*maxUsers-2 {
			t.Errorf("%s: %d series are left, want %d", mode, got, 2*maxUsers-2)
		}
		if users.Of("one more") == Other {
			t.Errorf("%s: there is no room for another", mode)
		}
	}
}

func TestForgettingKeepsWhatTellsNobodyApart(t *testing.T) {
	f := func(mode, user string) {
		t.Helper()
		users, counter := label(t, mode, "key"), Counter(nil, "things_total", "Things.", "user")
		counter.WithLabelValues(users.Of(user)).Inc()
		if got := users.Forget(user, counter); got != "" || testutil.CollectAndCount(counter) != 1 {
			t.Errorf("%s: dropped the series %q", mode, got)
		}
	}
	f(UserOff, "ada")
	f(UserPlain, Other)
}

func TestCounterIsSharedByName(t *testing.T) {
	registry := prometheus.NewRegistry()
	first := Counter(registry, "things_total", "Things.", "kind")
	if again := Counter(registry, "things_total", "Things.", "kind"); again != first {
		t.Error("the second counter is another one")
	}
	if Counter(nil, "things_total", "Things.", "kind") == nil {
		t.Error("no counter without a registry")
	}
}
