package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/secrets"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestAccounts(t *testing.T) {
	dovecot := testenv.StartDovecot(t, map[string]string{"ann": "open sesame"})
	w := newDeployment(t, func(c *Config) { c.Accounts.Roots = dovecot.Roots() })
	ann := w.person("ann")
	body := map[string]any{"address": "ann@example.org", "host": "LocalHost.", "port": dovecot.TLSPort(), "login": "ann", "password": "open sesame"}
	first := ann.post("/accounts", body, "Idempotency-Key", "one").want(http.StatusCreated)
	again := ann.post("/accounts", body, "Idempotency-Key", "one").want(http.StatusCreated)
	account := decode[accountView](first)
	same(t, decode[accountView](again).ID, account.ID)
	same(t, []any{account.Host, account.Label, account.Security, account.Mode, account.State, account.Stopped},
		[]any{"localhost", "ann@example.org", "tls", "watch", "new", false})
	if n := w.Int(`SELECT count(*) FROM accounts`); n != 1 {
		t.Errorf("there are %d accounts", n)
	}
	ann.post("/accounts", body).want(http.StatusConflict)

	report := decode[accounts.TestReport](ann.post("/accounts/"+account.ID+"/test", nil).want(http.StatusOK))
	if !report.OK || len(report.Findings) < 8 {
		t.Errorf("the test found %+v", report)
	}
	before := world.Scalar[string](w, `SELECT mode_since::text FROM accounts`)
	changed := decode[accountView](ann.ask(http.MethodPut, "/accounts/"+account.ID, map[string]any{"mode": "ask"}).want(http.StatusOK))
	same(t, changed.Mode, "ask")
	after := world.Scalar[string](w, `SELECT mode_since::text FROM accounts`)
	if after == before {
		t.Error("the time of the mode did not change with it")
	}
	ann.ask(http.MethodPut, "/accounts/"+account.ID, map[string]any{"mode": "ask"}).want(http.StatusOK)
	same(t, world.Scalar[string](w, `SELECT mode_since::text FROM accounts`), after)
	ann.ask(http.MethodPut, "/accounts/"+account.ID, map[string]any{"mode": "by itself"}).want(http.StatusUnprocessableEntity)

	// The row is worth nothing elsewhere, and the password is nowhere.
	for _, table := range personalTables(w) {
		if text := world.Scalar[string](w, `SELECT coalesce(string_agg(x::text, '|'), '') FROM `+table+` x`); strings.Contains(text, "sesame") {
			t.Errorf("the password is in %s", table)
		}
	}
	if strings.Contains(w.Logs.String()+string(first.body)+string(ann.get("/accounts").body), "sesame") {
		t.Error("the password is shown")
	}
	w.Exec(`UPDATE accounts SET host = '127.0.0.1'`)
	report = decode[accounts.TestReport](ann.post("/accounts/"+account.ID+"/test", nil).want(http.StatusOK))
	if report.OK || !strings.Contains(report.Findings[0].Words, "moved from another account") {
		t.Errorf("a row that was changed: %+v", report)
	}

	ann.ask(http.MethodDelete, "/accounts/"+account.ID, nil).want(http.StatusNoContent)
	ann.ask(http.MethodDelete, "/accounts/"+account.ID, nil).want(http.StatusNotFound)
	ann.post("/accounts/no-uuid/test", nil).want(http.StatusNotFound)
	same(t, decode[[]accountView](ann.get("/accounts").want(http.StatusOK)), []accountView{})
}

func TestWrongAccountsAreRefused(t *testing.T) {
	w := newDeployment(t)
	ann := w.person("ann")
	for field, value := range map[string]any{
		"address": "ann", "host": "imap.example.org/path", "port": 70000, "security": "none", "auth": "digest", "password": "", "login": "a\r\nb",
		"sieve_host": "no port", "smtp_host": "x:99999", "caldav_url": "http://example.org",
	} {
		body := map[string]any{"address": "ann@example.org", "host": "imap.example.org", "password": "x"}
		body[field] = value
		if answer := ann.post("/accounts", body); answer.status != http.StatusUnprocessableEntity || !strings.Contains(string(answer.body), `"body.`+field+`"`) {
			t.Errorf("%s %v: %d %s", field, value, answer.status, answer.body)
		}
	}
	ann.post("/accounts", map[string]any{"address": "ann@example.org", "host": "imap.example.org", "auth": "xoauth2", "token_url": "http://example.org", "client_id": "x", "refresh_token": "x"}).
		want(http.StatusUnprocessableEntity)
	if n := w.Int(`SELECT count(*) FROM accounts`); n != 0 {
		t.Errorf("%d accounts were added", n)
	}
}

// Without keys, or after they were lost, no account is added or signed in to, and the message says what to do.
func TestAccountsNeedTheirKeys(t *testing.T) {
	w := newDeployment(t, func(c *Config) { c.Accounts.Keys = nil })
	answer := w.person("ann").post("/accounts", map[string]any{"address": "ann@example.org", "host": "localhost", "password": "x"}).want(http.StatusServiceUnavailable)
	if !strings.Contains(string(answer.body), "--secrets-key-file") {
		t.Errorf("the answer is %s", answer.body)
	}
}

func TestAccountsWithAnotherKey(t *testing.T) {
	var connector *accounts.Connector
	w := newDeployment(t, func(c *Config) { connector = c.Accounts })
	ann := w.person("ann")
	account := decode[accountView](ann.post("/accounts", map[string]any{"address": "ann@example.org", "host": "localhost", "password": "x"}).want(http.StatusCreated))
	keys, err := secrets.Parse(secrets.Generate())
	w.Must(err)
	connector.Keys = keys
	report := decode[accounts.TestReport](ann.post("/accounts/"+account.ID+"/test", nil).want(http.StatusOK))
	if report.OK || !strings.Contains(report.Findings[0].Words, "add that key") {
		t.Errorf("with another key: %+v", report)
	}
}
