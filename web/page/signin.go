package page

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/auth"
)

// Secrets cannot be guessed; the limits keep attempts from keeping the database busy, and whoever makes many from keeping others out.
const (
	signInsPerSecond = 200
	signInBurst      = 1000

	failuresPerSecond = 0.5
	failureBurst      = 30
)

// maxForm bounds a form.
const maxForm = 256 << 10

// signInForm is what the page to sign in shows.
type signInForm struct {
	Link   string // the secret of a link, empty without one
	Next   string // the path to go on to
	Signed string // who the browser is signed in as
	OpenID string // the path that leads to the provider, empty without one
}

// showSignIn shows a button for a link, and otherwise a field for a token. It uses nothing up, since mail programs and scanners
// open links.
func (p *Pages) showSignIn(w http.ResponseWriter, r *http.Request) {
	p.renderSignIn(w, r, signInForm{Link: r.URL.Query().Get("link"), Next: nextOf(r.URL.Query().Get("next"))}, nil)
}

func (p *Pages) renderSignIn(w http.ResponseWriter, r *http.Request, form signInForm, wrong *problem) {
	if caller, err := p.callerOf(r); err == nil {
		form.Signed = caller.ID
	}
	if p.openID != nil {
		form.OpenID = oidcPath
	}
	p.render(w, r, "signin", frame{Title: "Sign in", Body: form, Problem: wrong})
}

func nextOf(path string) string {
	if !isLocal(path) || strings.HasPrefix(path, "/sign-in") {
		return "/"
	}
	return path
}

// signIn begins a session with the link or the token of the form.
func (p *Pages) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	link, next := r.PostFormValue("link"), nextOf(r.PostFormValue("next"))
	network := networkOf(r.RemoteAddr)
	if !p.failures.Has(network, time.Now()) || !p.attempts.Allow() {
		w.Header().Set("Retry-After", "2")
		p.renderSignIn(w, r, signInForm{Link: link, Next: next}, &problem{Status: http.StatusTooManyRequests, Detail: "Too many attempts to sign in. Try again in a moment."})
		return
	}
	kind, secret := auth.Login, link
	if link == "" {
		kind, secret = auth.Bearer, r.PostFormValue("token")
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookFor)
	defer cancel()
	session, err := p.users.SignIn(ctx, kind, secret, auth.SessionOf(r), browserOf(r))
	if err != nil {
		if errors.Is(err, auth.ErrUnauthenticated) {
			p.failures.Take(network, time.Now())
		}
		p.renderSignIn(w, r, signInForm{Link: link, Next: next}, p.refusalOf(kind, err))
		return
	}
	auth.SetSession(w, r, session)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// networkOf is what attempts are counted by: an address, or of version 6 the network that one line gets.
func networkOf(remote string) string {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := address.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

func (p *Pages) refusalOf(kind string, err error) *problem {
	switch {
	case errors.Is(err, auth.ErrOtherPerson):
		return &problem{Status: http.StatusConflict, Detail: "This browser is signed in as another person. Sign out first, and then do it again."}
	case errors.Is(err, auth.ErrUnauthenticated) && kind == auth.Login:
		return &problem{Status: http.StatusUnauthorized, Detail: "This link was used, or it is older than ten minutes. Make another one with: applylens token link"}
	case errors.Is(err, auth.ErrUnauthenticated):
		return &problem{Status: http.StatusUnauthorized, Detail: "This token is not valid: it was mistyped, revoked, or has expired."}
	}
	p.log.Error("cannot sign in", "error", err)
	return &problem{Status: http.StatusServiceUnavailable, Detail: unavailable}
}

// browserOf names a session in lists of tokens by what the browser calls itself.
func browserOf(r *http.Request) string {
	name := strings.Map(func(letter rune) rune {
		if letter < ' ' || letter > '~' {
			return -1
		}
		return letter
	}, r.UserAgent())
	return name[:min(len(name), 100)]
}

// signOut ends the session, or with everywhere all sessions of the person.
func (p *Pages) signOut(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	ctx, cancel := context.WithTimeout(r.Context(), lookFor)
	defer cancel()
	caller, err := p.users.Authenticate(ctx, r)
	if err == nil {
		if r.PostFormValue("everywhere") != "" {
			err = p.users.SignOutEverywhere(ctx, caller.ID)
		} else {
			err = p.users.SignOut(ctx, auth.SessionOf(r))
		}
	}
	if kept := auth.KeptSession(r); kept != "" && err == nil {
		err = p.users.SignOut(ctx, kept) // who signs out as a demo person does not mean to stay signed in
		auth.RestoreSession(w, r)
	}
	if err != nil && !errors.Is(err, auth.ErrUnauthenticated) {
		p.log.Error("cannot sign out", "error", err)
		p.fail(w, r, nil, &problem{Status: http.StatusServiceUnavailable, Detail: unavailable + " You are still signed in."})
		return
	}
	auth.SetSession(w, r, "")
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}
