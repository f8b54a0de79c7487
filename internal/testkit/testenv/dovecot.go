package testenv

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/applylens/applylens/internal/testkit/testenv/server"
)

// Dovecot is a mail server that a test may kill. If an operation on it fails, the test fails.
type Dovecot struct {
	t testing.TB
	*server.Dovecot
}

// StartDovecot starts a Dovecot with users, by their passwords. It ends with the test. The test is skipped if DOVECOT_HOME is unset,
// unless there is a Dovecot at the usual place. Settings are lines that are added to its configuration.
func StartDovecot(t testing.TB, users map[string]string, settings ...string) *Dovecot {
	t.Helper()
	program := "/usr/sbin/dovecot"
	if home := os.Getenv("DOVECOT_HOME"); home != "" {
		program = filepath.Join(home, "sbin", "dovecot")
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("set DOVECOT_HOME to the directory above Dovecot's sbin to run this test")
	}
	started, err := server.NewDovecot(context.Background(), server.DovecotConfig{Program: program, Users: users, Extra: strings.Join(settings, "\n") + "\n"})
	if err != nil {
		t.Fatal(err)
	}
	d := &Dovecot{t, started}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Dovecot's log:\n%s", started.Log())
		}
		d.must(started.Close())
	})
	return d
}

// Roots trusts the server's certificate.
func (d *Dovecot) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(d.CA())
	return pool
}

// Restart starts the killed server again.
func (d *Dovecot) Restart() { d.t.Helper(); d.must(d.Start(context.Background())) }

// DialTLS connects to IMAP over TLS.
func (d *Dovecot) DialTLS() (net.Conn, error) {
	return tls.Dial("tcp", net.JoinHostPort("localhost", strconv.Itoa(d.TLSPort())), &tls.Config{RootCAs: d.Roots()})
}

// Deliver delivers a message to a user as another mail server would, by LMTP.
func (d *Dovecot) Deliver(user, message string) {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.LMTP())
	d.must(err)
	defer conn.Close()
	text := textproto.NewConn(conn)
	say := func(want int, format string, args ...any) {
		d.t.Helper()
		if format != "" {
			d.must(text.PrintfLine(format, args...))
		}
		if _, _, err := text.ReadResponse(want); err != nil {
			d.t.Fatalf("LMTP %q: %v", fmt.Sprintf(format, args...), err)
		}
	}
	say(220, "")
	say(250, "LHLO localhost")
	say(250, "MAIL FROM:<sender@example.org>")
	say(250, "RCPT TO:<%s>", user)
	say(354, "DATA")
	body := text.DotWriter()
	_, err = body.Write([]byte(message))
	d.must(err)
	d.must(body.Close())
	say(250, "")
	say(221, "QUIT")
}

func (d *Dovecot) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// ListenTLS listens with the certificate of a Dovecot, for a server that a test writes itself.
func ListenTLS(t testing.TB, d *Dovecot) net.Listener {
	t.Helper()
	certificate, err := d.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}
