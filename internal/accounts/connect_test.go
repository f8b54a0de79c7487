package accounts_test

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/dialer"
	"github.com/applylens/applylens/internal/imapbox"
	"github.com/applylens/applylens/internal/secrets"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

// serveOAuth is an IMAP server that signs in whoever has a token. Dovecot would need an OpenID provider beside it.
func serveOAuth(listener net.Listener, token string, how chan<- string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			const capabilities = "IMAP4rev1 SASL-IR AUTH=XOAUTH2 AUTH=OAUTHBEARER"
			fmt.Fprintf(conn, "* OK [CAPABILITY %s] hello\r\n", capabilities)
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				words := strings.Fields(lines.Text())
				if len(words) == 4 && words[1] == "AUTHENTICATE" {
					given, _ := base64.StdEncoding.DecodeString(words[3])
					if !strings.Contains(string(given), "auth=Bearer "+token+"\x01") || !strings.Contains(string(given), "ann") {
						fmt.Fprintf(conn, "%s NO [AUTHENTICATIONFAILED] no\r\n", words[0])
						continue
					}
					how <- words[2]
				}
				fmt.Fprintf(conn, "* CAPABILITY %s\r\n%s OK done\r\n", capabilities, words[0])
			}
		}()
	}
}

// Access tokens are got with the refresh token, one that is replaced is kept, and secrets are sealed anew after a rotation of keys.
func TestOAuth(t *testing.T) {
	w := world.New(t)
	w.Exec(`INSERT INTO users (id) VALUES ('ann')`)
	refresh, revoked := "refresh-1", false
	provider := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		if id, secret, basic := r.BasicAuth(); basic && (id != "client" || secret != "hush") || r.FormValue("refresh_token") != refresh || revoked {
			rw.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(rw).Encode(map[string]string{"error": "invalid_grant", "error_description": "of " + refresh})
			return
		}
		refresh = "refresh-2"
		_ = json.NewEncoder(rw).Encode(map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 3600, "refresh_token": refresh})
	}))
	defer provider.Close()
	roots := x509.NewCertPool()
	roots.AddCert(provider.Certificate())
	dovecot := testenv.StartDovecot(t, nil)
	listener, how := testenv.ListenTLS(t, dovecot), make(chan string, 10)
	go serveOAuth(listener, "access", how)
	first := secrets.Generate()
	keys, err := secrets.Parse(first)
	w.Must(err)
	connector := &accounts.Connector{Keys: keys, Roots: dovecot.Roots(), Dialer: &dialer.Dialer{Private: true, Roots: roots}, Timeout: 5 * time.Second}
	a := accounts.Account{UserID: "ann", Address: "ann@example.org", Host: "localhost", Port: listener.Addr().(*net.TCPAddr).Port,
		Auth: imapbox.XOAuth2, TokenURL: provider.URL, ClientID: "client"}
	given := accounts.Entrusted{ClientSecret: secrets.New("hush"), RefreshToken: secrets.New("refresh-1")}
	if faults := a.Validate(given); faults != nil {
		t.Fatal(faults)
	}
	added, err := accounts.Add(t.Context(), w.Pool, keys, a, given)
	w.Must(err)
	signIn := func(want string) {
		t.Helper()
		box, err := connector.Open(t.Context(), w.Pool, &added)
		w.Must(err)
		box.Close()
		if got := <-how; got != want {
			t.Errorf("signed in by %s, want %s", got, want)
		}
	}
	signIn("XOAUTH2")
	signIn("XOAUTH2") // with the token that replaced the first

	second := secrets.Generate()
	connector.Keys, err = secrets.Parse(second + "\n" + first)
	w.Must(err)
	signIn("XOAUTH2")
	connector.Keys, err = secrets.Parse(second) // the old key is not needed any more
	w.Must(err)
	signIn("XOAUTH2")

	revoked = true
	_, err = connector.Open(t.Context(), w.Pool, &added)
	if imapbox.KindOf(err) != imapbox.Refused || !strings.Contains(imapbox.Words(err), "invalid_grant") || strings.Contains(fmt.Sprintf("%v %+v", err, err), "refresh-") {
		t.Errorf("after the access was withdrawn: %v", err)
	}
	provider.Close()
	if _, err = connector.Open(t.Context(), w.Pool, &added); imapbox.KindOf(err) != imapbox.Temporary {
		t.Errorf("without the provider: %v", err)
	}
	bearer := added
	bearer.Auth = imapbox.OAuthBearer
	if _, err = connector.Open(t.Context(), w.Pool, &bearer); imapbox.KindOf(err) != imapbox.Refused {
		t.Errorf("an account whose way to sign in was changed: %v", err)
	}
}
