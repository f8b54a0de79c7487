package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

func TestLoopbackAddresses(t *testing.T) {
	f := func(address string, want bool) {
		t.Helper()
		if got := isLoopback(address); got != want {
			t.Errorf("%q: %v, want %v", address, got, want)
		}
	}
	f("127.0.0.1:8003", true)
	f("127.9.9.9:0", true)
	f("[::1]:8003", true)
	f("localhost:8003", true)
	f("0.0.0.0:8003", false)
	f(":8003", false)
	f("[::]:8003", false)
	f("192.168.0.7:8003", false)
	f("localhost.example.com:8003", false)
	f("8003", false)
}

func TestUpKnowsItsOwnHosts(t *testing.T) {
	f := func(address string, want ...string) {
		t.Helper()
		listen, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := ownHosts(listen); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	f("127.0.0.1:8003", "127.0.0.1", "::1", "localhost")
	f("[::1]:8003", "127.0.0.1", "::1", "localhost")
	f("127.0.0.2:8003", "127.0.0.1", "127.0.0.2", "::1", "localhost")
}

func TestListeningBeyondLoopbackNeedsAToken(t *testing.T) {
	pool, _ := testenv.Database(t)
	p := &process{log: slog.New(slog.DiscardHandler)}
	var usage usageError
	if err := requireTokens(t.Context(), p, pool, "0.0.0.0:80"); !errors.As(err, &usage) {
		t.Errorf("without a token: %v", err)
	}
	if err := requireTokens(t.Context(), p, pool, "127.0.0.1:80"); err != nil {
		t.Error(err)
	}
	users := auth.NewStore(pool)
	if _, err := users.CreateUser(t.Context(), auth.User{ID: "alice"}); err != nil {
		t.Fatal(err)
	}
	if _, err := users.CreateToken(t.Context(), "alice", auth.Bearer, "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := requireTokens(t.Context(), p, pool, "0.0.0.0:80"); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := requireTokens(ended, p, pool, "0.0.0.0:80"); !errors.Is(err, context.Canceled) {
		t.Errorf("while ending: %v", err)
	}
}

func TestDays(t *testing.T) {
	f := func(text string, want time.Duration, refused bool) {
		t.Helper()
		var got days
		err := got.UnmarshalText([]byte(text))
		if (err != nil) != refused || !refused && time.Duration(got) != want {
			t.Errorf("%q: %v, %v", text, time.Duration(got), err)
		}
	}
	f("90d", 90*24*time.Hour, false)
	f("12h", 12*time.Hour, false)
	f("0d", 0, true)
	f("-1d", 0, true)
	f("36501d", 0, true)
	f("d", 0, true)
	f("soon", 0, true)
}
