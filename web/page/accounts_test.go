package page

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/api"
	"github.com/applylens/applylens/internal/dialer"
	"github.com/applylens/applylens/internal/mailsync"
	"github.com/applylens/applylens/internal/secrets"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// newAccountSite is a site that reads the mail of a real mail server, where ann has a mailbox.
func newAccountSite(t *testing.T) (*site, *testenv.Dovecot) {
	t.Helper()
	dovecot := testenv.StartDovecot(t, map[string]string{"ann": "open sesame"})
	keys, err := secrets.Parse(secrets.Generate())
	if err != nil {
		t.Fatal(err)
	}
	connector := &accounts.Connector{Keys: keys, Dialer: &dialer.Dialer{Private: true}, Roots: dovecot.Roots(), Timeout: 5 * time.Second}
	s := newImportSiteWith(t, func(c *api.Config) { c.Accounts = connector })
	s.Background("the sync", func(ctx context.Context) error {
		return mailsync.Run(ctx, mailsync.Config{Pool: s.Pool, Conn: s.Conn, Connector: connector, Holder: "test", Log: s.Logger, Wake: s.Signal.Set, Poll: time.Second})
	})
	return s, dovecot
}

func letter(number int) string {
	return fmt.Sprintf("From: news@shop.example\r\nTo: ann@example.org\r\nMessage-ID: <%d@shop.example>\r\nDate: %s\r\nSubject: Offer %d\r\n\r\nAll is cheap.\r\n",
		number, time.Now().Format(time.RFC1123Z), number)
}

func TestAccountsWithoutScripts(t *testing.T) {
	s, dovecot := newAccountSite(t)
	o, bob := s.owner("ann").signIn(), s.owner("bob").signIn()
	o.get("/tray").want(http.StatusOK, `href="/accounts">Connect a mailbox`)
	key := o.get("/accounts").want(http.StatusOK, "Connect a mailbox").field("key")
	form := url.Values{"do": {"add"}, "key": {key}, "address": {" ann@example.org "}, "host": {"localhost"}, "port": {strconv.Itoa(dovecot.TLSPort())}, "security": {"tls"},
		"login": {"ann"}, "password": {"wrong"}}
	with := func(name, value string) url.Values {
		changed := url.Values{}
		for field, values := range form {
			changed[field] = values
		}
		changed.Set(name, value)
		return changed
	}
	refused := o.post("/accounts", form).want(http.StatusUnprocessableEntity, "The mailbox was not connected:", `value="ann@example.org"`, `value="localhost"`, `value="ann"`)
	if strings.Contains(refused.text, "wrong") {
		t.Error("the page shows a password")
	}
	o.post("/accounts", with("address", "ann")).want(http.StatusUnprocessableEntity, "such as alice@example.org", `value="localhost"`)
	o.post("/accounts", with("password", "")).want(http.StatusUnprocessableEntity, "Give the password")
	o.post("/accounts", with("port", "IMAP")).want(http.StatusUnprocessableEntity, "993 for most servers", `value="IMAP"`)
	o.post("/accounts", with("host", "a b")).want(http.StatusUnprocessableEntity, `role="alert"`)
	if left := o.Int(`SELECT count(*) FROM accounts`); left != 0 {
		t.Fatalf("%d accounts are left of what was refused", left)
	}

	dovecot.Deliver("ann", letter(1))
	form.Set("password", "open sesame")
	form.Set("key", "twice")
	for range 2 {
		o.post("/accounts", form).leads("/accounts?done=add")
	}
	if added := o.Int(`SELECT count(*) FROM accounts`); added != 1 {
		t.Fatalf("a form that was sent twice added %d accounts", added)
	}
	o.imported(1)
	o.Until("the account is live", func() bool { return strings.Contains(o.get("/accounts?done=add").text, ">live<") })
	id := o.get("/accounts?done=add").want(http.StatusOK, "The mailbox is connected.", "ann@example.org", "ann</bdi> at <bdi>localhost").field("id")
	o.post("/accounts", url.Values{"do": {"test"}, "id": {id}}).want(http.StatusOK, "signed in as ann", "MOVE: mail is moved in one step")
	for _, do := range []string{"test", "stop", "remove"} {
		bob.post("/accounts", url.Values{"do": {do}, "id": {id}}).want(http.StatusNotFound)
	}
	o.post("/accounts", url.Values{"do": {"stop"}, "id": {id}, "mode": {"watch"}}).leads("/accounts?done=stop")
	o.get("/accounts").want(http.StatusOK, ">stopped<", "Go on")
	o.post("/accounts", url.Values{"do": {"go-on"}, "id": {id}, "mode": {"watch"}}).leads("/accounts?done=go-on")
	dovecot.Deliver("ann", letter(2))
	o.imported(2)
	o.post("/accounts", url.Values{"id": {id}}).want(http.StatusBadRequest, "does not say what to do")
	o.post("/accounts", url.Values{"do": {"remove"}, "id": {id}}).leads("/accounts?done=remove")
	if page := o.get("/accounts?done=remove").want(http.StatusOK, "Its mail stays."); strings.Contains(page.text, "localhost") {
		t.Error("a removed account is shown")
	}
	o.imported(2)
}

// field is the value of the first hidden field of a name.
func (s *shown) field(name string) string {
	s.t.Helper()
	_, rest, found := strings.Cut(s.text, `name="`+name+`" value="`)
	if !found {
		s.t.Fatalf("the page has no field %q", name)
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func TestConnectAMailbox(t *testing.T) {
	s, dovecot := newAccountSite(t)
	dovecot.Deliver("ann", letter(1))
	b := s.owner("ann").browser()
	b.enter("/tray")
	b.do(chromedp.Click(`.ways a[href="/accounts"]`))
	b.ready()
	b.do(chromedp.SendKeys("#address", "ann@example.org"), chromedp.SendKeys("#password", "open sesame"), chromedp.Click("main details summary"),
		chromedp.SendKeys("#host", "localhost"), chromedp.SendKeys("#port", strconv.Itoa(dovecot.TLSPort())), chromedp.SendKeys("#login", "ann"))
	b.look("accounts-form")
	b.do(chromedp.Click(`button[value="add"]`))
	b.until(`document.querySelector("[role=status].done")?.textContent.includes("The mailbox is connected.")`)
	b.imported(1)
	b.Until("the account is live", func() bool {
		b.open("/accounts")
		return strings.Contains(value[string](b, `document.body.innerText`), "New mail comes in at once.")
	})
	b.look("accounts")
	dovecot.Deliver("ann", letter(2))
	b.imported(2)
}
