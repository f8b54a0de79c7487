package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/embedded"
	"github.com/applylens/applylens/internal/private"
)

// environment is what curl, psql, kcat and the other subcommands need to use a running "up". It is in a file of the data
// directory.
type environment struct {
	dir       string
	url       string
	token     string // of the local user
	demoToken string // of the user demo; empty if there is none
	servers   *embedded.Servers
}

func (e *environment) path() string { return filepath.Join(e.dir, config.EnvFile) }

func (e *environment) write() error {
	kcat, err := writeKcat(e.dir, &e.servers.Kafka)
	if err != nil {
		return err
	}
	var text strings.Builder
	add := func(name, value string) { fmt.Fprintf(&text, "export %s=%s\n", name, quote(value)) }
	add("APPLYLENS_URL", e.url)
	add("APPLYLENS_TOKEN", e.token)
	if e.demoToken != "" {
		add("APPLYLENS_DEMO_TOKEN", e.demoToken)
	}
	for _, setting := range config.Environ(nil, &e.servers.Kafka) {
		name, value, _ := strings.Cut(setting, "=")
		add(name, value)
	}
	add("KCAT_CONFIG", kcat)
	add("DATABASE_URL", e.servers.DatabaseURL)
	add("RELAY_SECRET_FILE", filepath.Join(e.dir, relaySecretFile))
	add("DATA_DIR", e.dir)
	if err := private.WriteFile(e.path(), []byte(text.String())); err != nil {
		return fmt.Errorf("write %s: %w", e.path(), err)
	}
	return nil
}

// printNext prints what to do next: with the sample mail if there is any, and otherwise with one's own. Its link signs a browser in
// as whose mail that is.
func (e *environment) printNext(ctx context.Context, users *auth.Store, w io.Writer) error {
	owner := localUser
	if e.demoToken != "" {
		owner = demoUser
	}
	link, err := signInLink(ctx, users, owner, e.url)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Open the page, signed in as %s (once, within %.0f minutes; \"applylens token link --user %s\" makes another link):\n  %s\n", owner, auth.LinkFor.Minutes(), owner, link)
	lines := []string{
		". " + quote(e.path()),
		"applylens import FILE.mbox       # your mail: an mbox, a Takeout, a Maildir or single messages",
		`curl --header "Authorization: Bearer $APPLYLENS_TOKEN" "$APPLYLENS_URL/actions/tray"   # what the policies propose for it`,
		"applylens doctor                 # is everything well?",
		"applylens up --demo              # instead of this process: look around with sample mail, of a user of its own",
	}
	if e.demoToken != "" {
		lines = []string{
			lines[0],
			`curl --header "Authorization: Bearer $APPLYLENS_DEMO_TOKEN" "$APPLYLENS_URL/actions/tray?limit=3"`,
			`psql "$DATABASE_URL" --command 'SELECT * FROM policy_stats'`,
			"applylens lag",
			lines[1],
			"applylens user erase " + demoUser + "      # takes the sample mail away; your own stays",
		}
	}
	fmt.Fprintln(w, "What to do next, in another terminal:")
	for _, line := range lines {
		fmt.Fprintln(w, "  "+line)
	}
	_, err = fmt.Fprintf(w, "The API is described at %s/openapi.json. Ctrl-C stops it; the data stays in %s\n", e.url, e.dir)
	return err
}

// relaySecretFile is the name of the file with the master secret of the relay's keys.
const relaySecretFile = "relay-secret"

// keptSecret returns the master secret of an earlier start, or makes one.
func keptSecret(path string) ([]byte, error) {
	kept := config.RelaySecret{RelaySecretFile: path}
	secret, err := kept.Secret()
	if !errors.Is(err, os.ErrNotExist) {
		return secret, err
	}
	secret = []byte(rand.Text() + rand.Text())
	return secret, private.WriteFile(path, append(secret, '\n'))
}

// keptToken returns a user's token of an earlier start, if it is still valid and has the roles, and otherwise a new one, which
// it keeps.
func keptToken(ctx context.Context, users *auth.Store, userID, path string, roles ...string) (string, error) {
	token, err := validToken(ctx, users, userID, path, roles...)
	if token != "" || err != nil {
		return token, err
	}
	if token, err = users.CreateToken(ctx, userID, auth.Bearer, "up", time.Time{}, roles...); err != nil {
		return "", err
	}
	return token, private.WriteFile(path, []byte(token+"\n"))
}

// validToken returns the token of an earlier start, and none if there is none, it is not the user's any more or lacks a role.
func validToken(ctx context.Context, users *auth.Store, userID, path string, roles ...string) (string, error) {
	text, _ := os.ReadFile(path) // one that cannot be read is replaced
	token := strings.TrimSpace(string(text))
	request := &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
	user, err := users.Authenticate(ctx, request)
	switch {
	case err == nil && user.ID == userID && !slices.ContainsFunc(roles, func(role string) bool { return !user.Has(role) }):
		return token, nil
	case err == nil || errors.Is(err, auth.ErrUnauthenticated):
		return "", nil
	}
	return "", err
}
