package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// Cookie is the name of the cookie that carries a session's secret. Browsers take a cookie with the prefix only over TLS, from
// the host itself and for all its paths, so that no neighbouring host can set one. LoopbackCookie is its name where the Host
// is this machine, which is reached without TLS.
const (
	Cookie         = "__Host-applylens_session"
	LoopbackCookie = "applylens_session"
)

// How long sessions and the links that begin them are valid.
const (
	SessionFor = 30 * 24 * time.Hour
	LinkFor    = 10 * time.Minute
)

// ErrOtherPerson tells that a browser is signed in as somebody else.
var ErrOtherPerson = errors.New("the browser is signed in as another person")

// selectForSignIn locks the valid secret that is to begin a session.
const selectForSignIn = `
SELECT user_id, roles FROM tokens
WHERE hash = $1 AND kind = $2 AND (expires_at IS NULL OR expires_at > now())
FOR UPDATE`

// deleteSecret deletes a secret.
const deleteSecret = `DELETE FROM tokens WHERE hash = $1`

// deleteSession ends the session with a secret.
const deleteSession = `DELETE FROM tokens WHERE hash = $1 AND kind = 'session'`

// deleteSessions ends all sessions of a person, and the links that would begin others.
const deleteSessions = `DELETE FROM tokens WHERE user_id = $1 AND kind IN ('session', 'login')`

// deleteExpired deletes secrets that stopped being valid a while ago.
const deleteExpired = `DELETE FROM tokens WHERE kind IN ('session', 'login') AND expires_at < now() - interval '1 day'`

// SignIn begins a session with a secret of the kind Login, which is used up, or Bearer, with which the session ends, and returns the
// session's secret. A session has the roles of its secret: a link that was made without a role has the owner's alone. The error is
// ErrUnauthenticated if the secret is not valid (any more), and ErrOtherPerson, with nothing used up, if current is the secret of
// a valid session of another person.
func (s *Store) SignIn(ctx context.Context, kind, secret, current, name string) (session string, err error) {
	if secret = wellFormed(strings.TrimSpace(secret)); secret == "" || kind != Login && kind != Bearer {
		return "", ErrUnauthenticated
	}
	return s.beginSession(ctx, current, name, func(tx pgx.Tx) (a admitted, err error) {
		if err := tx.QueryRow(ctx, selectForSignIn, hash(secret), kind).Scan(&a.user, &a.roles); err != nil {
			return a, err
		}
		if kind == Login {
			_, err = tx.Exec(ctx, deleteSecret, hash(secret))
		} else {
			a.parent = hash(secret)
		}
		return a, err
	})
}

// Person is somebody whom an OpenID provider knows.
type Person struct {
	Issuer, Subject string
	Address         string // verified; empty if none is
}

// id is the id of the person's user: opaque, and of another person for another issuer with the same subject.
func (p *Person) id() string { return "openid-" + events.DeriveUUID(p.Issuer, p.Subject).String() }

// SignInPerson begins a session with roles for a person whom an OpenID provider has signed in, and returns the session's secret. A person
// who was never here becomes a user; a verified address becomes one of their own. The error is ErrOtherPerson as of SignIn.
func (s *Store) SignInPerson(ctx context.Context, person Person, roles []string, current, name string) (session string, err error) {
	user := User{ID: person.id()}
	if person.Address != "" {
		user.Addresses = []string{person.Address}
	}
	if _, err := s.CreateUser(ctx, user); err != nil {
		return "", err
	}
	return s.beginSession(ctx, current, name, func(pgx.Tx) (admitted, error) { return admitted{user: user.ID, roles: roles}, nil })
}

// admitted is a user who may have a session.
type admitted struct {
	user   string
	roles  []string
	parent []byte // the hash of the token with which the session ends; nil for none
}

// beginSession replaces a browser's current session by one for the user whom admit lets in.
func (s *Store) beginSession(ctx context.Context, current, name string, admit func(pgx.Tx) (admitted, error)) (session string, err error) {
	session = newSecret()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, deleteExpired); err != nil {
			return err
		}
		a, err := admit(tx)
		if err != nil {
			return err
		}
		if err := replaceSession(ctx, tx, a.user, current); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertSession, hash(session), a.user, name, a.roles, time.Now().Add(SessionFor), a.parent)
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", ErrUnauthenticated
	case errors.Is(err, ErrOtherPerson):
		return "", err
	case err != nil:
		return "", fmt.Errorf("sign in: %w", err)
	}
	return session, nil
}

// replaceSession ends the person's session that a browser has, if it has one.
func replaceSession(ctx context.Context, tx pgx.Tx, user, current string) error {
	if current == "" {
		return nil
	}
	var owner string
	err := tx.QueryRow(ctx, selectForSignIn, hash(current), Session).Scan(&owner, new([]string))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if owner != user {
		return ErrOtherPerson
	}
	_, err = tx.Exec(ctx, deleteSession, hash(current))
	return err
}

// SignOut ends the session with a secret, with the next request.
func (s *Store) SignOut(ctx context.Context, session string) error {
	if _, err := s.pool.Exec(ctx, deleteSession, hash(session)); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	return nil
}

// SignOutEverywhere ends all sessions of a person, with the next requests, and the links that would begin others.
func (s *Store) SignOutEverywhere(ctx context.Context, userID string) error {
	if _, err := s.pool.Exec(ctx, deleteSessions, userID); err != nil {
		return fmt.Errorf("sign out everywhere: %w", err)
	}
	return nil
}

// SessionOf returns the secret of the session that a request's cookie carries, empty without one.
func SessionOf(r *http.Request) string {
	cookie, err := r.Cookie(CookieName(r))
	if err != nil {
		return ""
	}
	return wellFormed(cookie.Value)
}

// SetSession answers a request with the cookie of a session; without a secret it takes the cookie away.
func SetSession(w http.ResponseWriter, r *http.Request, secret string) {
	setCookie(w, r, CookieName(r), secret)
}

// keptSuffix ends the name of the cookie with the session of a person who looks around as a demo person.
const keptSuffix = "_kept"

// KeepSession answers a request with the cookie of a demo person's session, and keeps the one that the browser has.
func KeepSession(w http.ResponseWriter, r *http.Request, demo string) {
	setCookie(w, r, CookieName(r)+keptSuffix, SessionOf(r))
	SetSession(w, r, demo)
}

// RestoreSession answers a request with the cookie of the session that KeepSession kept, instead of the demo person's, and tells whether
// there is one. Nothing has checked that it is still valid.
func RestoreSession(w http.ResponseWriter, r *http.Request) bool {
	kept := KeptSession(r)
	SetSession(w, r, kept)
	setCookie(w, r, CookieName(r)+keptSuffix, "")
	return kept != ""
}

// KeptSession returns the secret of the session that KeepSession kept, empty without one.
func KeptSession(r *http.Request) string {
	cookie, err := r.Cookie(CookieName(r) + keptSuffix)
	if err != nil {
		return ""
	}
	return wellFormed(cookie.Value)
}

func setCookie(w http.ResponseWriter, r *http.Request, name, secret string) {
	cookie := &http.Cookie{
		Name: name, Value: secret, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: CookieName(r) == Cookie,
		MaxAge: int(SessionFor.Seconds()),
	}
	if secret == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

// forwarding are headers of proxies, which a browser does not send.
var forwarding = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"}

// CookieName is the name that a session's cookie has under the request's host. A proxy on this machine may name it as the host: what
// comes by one is not from this machine.
func CookieName(r *http.Request) string {
	if isLoopback(r.Host) && !slices.ContainsFunc(forwarding, func(name string) bool { return r.Header.Get(name) != "" }) {
		return LoopbackCookie
	}
	return Cookie
}

// isLoopback tells whether a host, with or without a port, is this machine by a name that no name server can give to another.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if address, err := netip.ParseAddr(host); err == nil {
		return address.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}
