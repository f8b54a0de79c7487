package imapbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"github.com/applylens/applylens/internal/dialer"
	"github.com/applylens/applylens/internal/secrets"
)

// The ways to sign in.
const (
	Password    = "password"
	XOAuth2     = "xoauth2"
	OAuthBearer = "oauthbearer"
)

// Server says where a mailbox is.
type Server struct {
	Host     string
	Port     int
	StartTLS bool           // otherwise TLS from the beginning
	Roots    *x509.CertPool // Default: those of the machine.
	Dialer   *dialer.Dialer // Required.
	Timeout  time.Duration  // of connecting, and of each command. Default: 30 s.
}

// Login says who signs in.
type Login struct {
	Name   string
	Auth   string         // Password, XOAuth2 or OAuthBearer
	Secret secrets.Secret // the password, or an access token
}

const usualTimeout = 30 * time.Second

// longCommand bounds commands that bring much, beside the server's silence, which may last no longer than any other command.
const longCommand = 10 * time.Minute

// Box is a session with a mailbox. Close ends it.
type Box struct {
	client  *imapclient.Client
	conn    *bounded
	host    string
	timeout time.Duration
	caps    imap.CapSet
	news    chan struct{} // the server told of something without being asked
	folder  string        // that is selected
}

// Open connects and signs in.
func Open(ctx context.Context, server Server, login Login) (*Box, error) {
	b := &Box{host: server.Host, timeout: server.Timeout, news: make(chan struct{}, 1)}
	if b.timeout <= 0 {
		b.timeout = usualTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, 2*b.timeout)
	defer cancel()
	if err := b.connect(ctx, server); err != nil {
		return nil, err
	}
	if err := b.signIn(ctx, login); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Box) connect(ctx context.Context, server Server) error {
	raw, err := server.Dialer.DialContext(ctx, "tcp", net.JoinHostPort(server.Host, strconv.Itoa(server.Port)))
	if err != nil {
		return connecting(server.Host, err)
	}
	b.conn = &bounded{Conn: raw}
	b.conn.allow(answerBytes)
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	encryption := &tls.Config{ServerName: server.Host, RootCAs: server.Roots, MinVersion: tls.VersionTLS12}
	options := &imapclient.Options{TLSConfig: encryption, UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Expunge: func(uint32) { b.tell() },
		Mailbox: func(*imapclient.UnilateralDataMailbox) { b.tell() },
		Fetch:   func(message *imapclient.FetchMessageData) { _, _ = message.Collect(); b.tell() },
	}}
	if server.StartTLS {
		b.client, err = imapclient.NewStartTLS(b.conn, options)
	} else {
		encrypted := tls.Client(b.conn, encryption)
		if err = encrypted.HandshakeContext(ctx); err == nil {
			b.client = imapclient.New(encrypted, options)
			err = b.client.WaitGreeting()
		}
	}
	if err != nil {
		raw.Close()
		return connecting(server.Host, errors.Join(context.Cause(ctx), err))
	}
	if b.client.State() != imap.ConnStateNotAuthenticated {
		b.client.Close()
		return &Error{Refused, server.Host + " does not ask who signs in", errContradicts}
	}
	return nil
}

// tell notes that the server told of something.
func (b *Box) tell() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

func (b *Box) signIn(ctx context.Context, login Login) error {
	err := b.within(ctx, b.timeout, answerBytes, func() error {
		switch login.Auth {
		case XOAuth2:
			return b.client.Authenticate(&xoauth2{login})
		case OAuthBearer:
			return b.client.Authenticate(sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: login.Name, Token: login.Secret.Reveal()}))
		}
		caps := b.client.Caps()
		if caps.Has(imap.AuthCap(sasl.Plain)) || caps.Has(imap.CapLoginDisabled) {
			return b.client.Authenticate(sasl.NewPlainClient("", login.Name, login.Secret.Reveal()))
		}
		return b.client.Login(login.Name, login.Secret.Reveal()).Wait()
	})
	if err != nil {
		return signingIn(err)
	}
	return b.within(ctx, b.timeout, answerBytes, func() error {
		if b.caps = b.client.Caps(); b.caps == nil {
			return errContradicts
		}
		return nil
	})
}

// xoauth2 is the mechanism of Google and Microsoft that came before OAUTHBEARER.
type xoauth2 struct{ login Login }

// Start implements sasl.Client.
func (x *xoauth2) Start() (mechanism string, first []byte, err error) {
	return "XOAUTH2", []byte("user=" + x.login.Name + "\x01auth=Bearer " + x.login.Secret.Reveal() + "\x01\x01"), nil
}

// Next implements sasl.Client: what the server says is an error, which it sends after an empty answer.
func (x *xoauth2) Next([]byte) ([]byte, error) { return []byte{}, nil }

// Close ends the session at once.
func (b *Box) Close() {
	_ = b.client.Close() // there is nothing to save
}

// Logout ends the session as the protocol has it, if the server answers soon.
func (b *Box) Logout() {
	_ = b.within(context.Background(), 2*time.Second, answerBytes, func() error { return b.client.Logout().Wait() })
	b.Close()
}

// within runs a command. The connection is closed when ctx ends or the time is up, since the answer of a command that nobody waits for
// any more would be taken for another's.
func (b *Box) within(ctx context.Context, limit time.Duration, bytes int64, command func() error) error {
	if err := ctx.Err(); err != nil {
		return &Error{Lost, "it was ended", err}
	}
	b.conn.allow(bytes)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { b.conn.Close() })
	stopSilence := b.conn.closeWhenSilent(b.timeout)
	err := command()
	if stopSilence() && err != nil {
		stop()
		return errors.Join(err, os.ErrDeadlineExceeded)
	}
	if !stop() && err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	if err != nil && b.conn.left.Load() < 0 {
		return errors.Join(err, errTooMuch)
	}
	return err
}

// do runs a command that asks for little, and classifies its error.
func (b *Box) do(ctx context.Context, doing string, command func() error) error {
	return answered(doing, b.within(ctx, b.timeout, answerBytes, command))
}

// Has tells whether the server has an extension, such as MOVE.
func (b *Box) Has(name string) bool { return b.caps.Has(imap.Cap(name)) }

// The extensions that make a difference.
const (
	Move             = "MOVE"
	UIDPlus          = "UIDPLUS"
	CondStore        = "CONDSTORE"
	Idling           = "IDLE"
	SpecialUse       = "SPECIAL-USE"
	CreateSpecialUse = "CREATE-SPECIAL-USE"
	GmailLabels      = "X-GM-EXT-1"
)

// Noop asks for nothing, to learn whether the connection is alive.
func (b *Box) Noop(ctx context.Context) error {
	return b.do(ctx, "ask whether the server is there", func() error { return b.client.Noop().Wait() })
}

// Idle waits until the server tells of a change in the selected folder, at most for a time, and returns whether it did. A server without
// IDLE tells nothing: the time is then waited for.
func (b *Box) Idle(ctx context.Context, most time.Duration) (changed bool, err error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	if !b.Has(Idling) {
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-b.client.Closed():
		}
		return false, b.Noop(ctx)
	}
	var idle *imapclient.IdleCommand
	if err := b.do(ctx, "wait for mail", func() (err error) { idle, err = b.client.Idle(); return err }); err != nil {
		return false, err
	}
	b.conn.allow(idleBytes)
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-b.news:
		changed = true
	case <-b.client.Closed():
	}
	err = b.do(ctx, "wait for mail", func() error { return errors.Join(idle.Close(), idle.Wait()) })
	return changed, err
}

// checkKeyword refuses a keyword that is no atom of ASCII: the library would send it as it is, and the connection would end.
func checkKeyword(keyword string) error {
	if keyword == "" || len(keyword) > 100 {
		return &Error{Refused, "a keyword has 1 to 100 characters", errors.New("keyword")}
	}
	for _, c := range []byte(keyword) {
		if c <= ' ' || c > '~' || c == '(' || c == ')' || c == '{' || c == '%' || c == '*' || c == '"' || c == '\\' || c == ']' {
			return &Error{Refused, fmt.Sprintf("%q cannot be a keyword of a mail server: it has letters of ASCII, digits and simple signs only", keyword), errors.New("keyword")}
		}
	}
	return nil
}
