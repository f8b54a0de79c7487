package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/secrets"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// An account is added, listed, tested and removed, and its password is nowhere but where it was typed.
func TestAnAccountByTheCommandLine(t *testing.T) {
	const password = "open sesame"
	pool, address := testenv.Database(t)
	dovecot := testenv.StartDovecot(t, map[string]string{"ann": password})
	if _, err := auth.NewStore(pool).CreateUser(t.Context(), auth.User{ID: "ann"}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys, roots := write("keys", secrets.Generate()+"\n"), write("ca.pem", string(dovecot.CA()))
	wrong := write("wrong", "sesame street\n")
	told := ""
	account := func(status int, want, input string, args ...string) string {
		t.Helper()
		args = append([]string{"account"}, args...)
		args = append(args, "--database-url", address, "--user", "ann")
		got, stdout, stderr := ran(t, input, args...)
		if told += stdout + stderr; got != status || !strings.Contains(stdout+stderr, want) {
			t.Fatalf("%v: status %d, want %d and %q:\n%s%s", args, got, status, want, stdout, stderr)
		}
		return stdout
	}
	add := []string{"add", "ann@example.org", "--host", "localhost", "--port", fmt.Sprint(dovecot.TLSPort()), "--login", "ann", "--accounts-ca-file", roots, "--private-hosts"}
	account(2, "--secrets-key-file", password, add...)
	add = append(add, "--secrets-key-file", keys)
	account(2, "no password", "", add...)
	account(2, "unknown flag --password", "", append(add, "--password", "x")...)
	account(1, "was not added", "", append(add, "--password-file", wrong)...)
	account(1, "--private-hosts", "", "add", "ann@example.org", "--host", "127.0.0.1", "--password-file", wrong, "--secrets-key-file", keys)
	out := account(0, "MOVE", password+"\n", add...)
	id := regexp.MustCompile(`added (\S+)`).FindStringSubmatch(out)[1]
	account(1, "among the accounts already", password+"\n", add...)
	account(0, "ann@example.org", "", "list")
	account(0, `"state": "new"`, "", "list", "--json")
	account(0, "signed in as ann", "", "test", id, "--secrets-key-file", keys, "--accounts-ca-file", roots, "--private-hosts")
	account(1, "not confirmed", "no\n", "remove", id)
	account(0, "removed "+id, "", "remove", id, "--yes")
	account(1, "no such account", "", "remove", id, "--yes")
	if strings.Contains(told, "sesame") {
		t.Errorf("the password is shown:\n%s", told)
	}
}
