package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// called is a command's output and exit status.
type called struct {
	status         int
	stdout, stderr string
}

func call(args ...string) called {
	var stdout, stderr bytes.Buffer
	status := run(context.Background(), args, &stdout, &stderr)
	return called{status, stdout.String(), stderr.String()}
}

func TestUserIsExportedAndErased(t *testing.T) {
	pool, address := testenv.Database(t)
	if _, err := auth.NewStore(pool).CreateUser(t.Context(), auth.User{ID: "ann"}); err != nil {
		t.Fatal(err)
	}
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	defer func(before *os.File) { os.Stdin = before }(os.Stdin)
	os.Stdin = stdin
	dir := filepath.Join(t.TempDir(), "ann")
	f := func(status int, want string, args ...string) {
		t.Helper()
		got := call(append(args, "--database-url", address)...)
		if got.status != status || !strings.Contains(got.stdout+got.stderr, want) {
			t.Errorf("applylens %s: status %d\n%s%s", strings.Join(args, " "), got.status, got.stdout, got.stderr)
		}
	}
	f(0, "policies.jsonl", "user", "export", "ann", "--out", dir)
	f(1, "is not empty", "user", "export", "ann", "--out", dir)
	f(2, "--yes", "user", "erase", "ann")
	f(2, "cannot be a user's id", "user", "erase", "", "--yes")
	f(0, "the Kafka log", "user", "erase", "ann", "--yes")
	f(1, `nothing is kept of this user: "ann"`, "user", "erase", "ann", "--yes")
	if _, err := auth.NewStore(pool).Find(t.Context(), "ann"); !errors.Is(err, auth.ErrNoUser) {
		t.Errorf("a refused erasure left a user: %v", err)
	}
	f(0, `"event_id"`, "user", "erase", "ann", "--yes", "--json", "--unknown")
	f(1, "no such user: \"ghost\"", "token", "list", "--user", "ghost")
	f(1, "nothing is kept of this user", "user", "export", "nobody", "--out", dir+"-again")
	if _, err := os.Stat(dir + "-again"); err == nil {
		t.Error("an export of nobody left a directory")
	}
}

func TestErasingAsksForTheIDAgain(t *testing.T) {
	f := func(answer string, confirmed bool) {
		t.Helper()
		var asked strings.Builder
		if err := confirm(strings.NewReader(answer), &asked, "ann"); (err == nil) != confirmed {
			t.Errorf("%q: %v", answer, err)
		}
		if !strings.Contains(asked.String(), "ann") {
			t.Errorf("asked %q", asked.String())
		}
	}
	f("ann\n", true)
	f("ann\r\n", true)
	f("ann", true)
	f("yes\n", false)
	f("ann \n", false)
	f("\n", false)
	f("", false)
}

func TestExportTellsHowFarItIs(t *testing.T) {
	var out strings.Builder
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	report := reportRows(&out, func() time.Time { return now })
	for rows := int64(1); rows <= 100; rows++ {
		now = now.Add(100 * time.Millisecond)
		report(rows, 100)
	}
	want := "20 of 100 rows, 8s left\n40 of 100 rows, 6s left\n60 of 100 rows, 4s left\n80 of 100 rows, 2s left\n100 of 100 rows, 0s left\n"
	if out.String() != want {
		t.Errorf("printed\n%s", out.String())
	}
}
