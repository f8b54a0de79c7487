package page

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/applylens/applylens/internal/auth"
)

// Provider is an OpenID provider that signs people in, and whom of them it may let in.
type Provider struct {
	Issuer, ClientID, ClientSecret string

	// PublicURL is where browsers reach the page, without a slash at the end.
	PublicURL string

	// AllowedDomains are those of verified addresses, and AllowedGroups those of the claim groups, whose people may come in.
	AllowedDomains, AllowedGroups []string

	// OperatorGroup also gets the role operator. Default: none.
	OperatorGroup string
}

const (
	oidcPath     = "/sign-in/openid"
	callbackPath = "/sign-in/callback"

	// attemptFor is how long somebody may take at the provider.
	attemptFor = 10 * time.Minute
)

// Limits of an exchange with the provider.
const (
	providerTimeout   = 10 * time.Second
	maxProviderAnswer = 1 << 20
)

// openID signs people in by authorization code, with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 7636).
type openID struct {
	Provider
	client *http.Client

	mu       sync.Mutex
	provider *oidc.Provider // nil until it answered once
}

func newOpenID(p Provider) *openID {
	return &openID{Provider: p, client: &http.Client{Timeout: providerTimeout, Transport: bounded{http.DefaultTransport}}}
}

// bounded cuts answers that are too long.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxProviderAnswer), answer.Body}
	}
	return answer, err
}

// found returns the provider's endpoints and keys, which it tells itself. A provider that does not answer is asked again the next time.
func (o *openID) found(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		provider, err := oidc.NewProvider(oidc.ClientContext(ctx, o.client), o.Issuer)
		if err != nil {
			return nil, nil, err
		}
		o.provider = provider
	}
	return o.provider, &oauth2.Config{
		ClientID: o.ClientID, ClientSecret: o.ClientSecret, Endpoint: o.provider.Endpoint(), RedirectURL: o.PublicURL + callbackPath,
		Scopes: []string{oidc.ScopeOpenID, "email", "groups"},
	}, nil
}

// attempt is what a browser remembers while somebody is at the provider.
type attempt struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Next     string `json:"t"`
}

// attemptCookie is the name of the cookie with the attempt. It has no secret of ours: it ties the answer to the browser that asked.
func attemptCookie(r *http.Request) string { return auth.CookieName(r) + "_openid" }

func setAttempt(w http.ResponseWriter, r *http.Request, a *attempt) {
	cookie := &http.Cookie{Name: attemptCookie(r), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: auth.CookieName(r) == auth.Cookie, MaxAge: -1}
	if a != nil {
		text, _ := json.Marshal(a) // it has only texts
		cookie.Value, cookie.MaxAge = base64.RawURLEncoding.EncodeToString(text), int(attemptFor.Seconds())
	}
	http.SetCookie(w, cookie)
}

func attemptOf(r *http.Request) (a attempt, ok bool) {
	cookie, err := r.Cookie(attemptCookie(r))
	if err != nil {
		return a, false
	}
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	return a, err == nil && json.Unmarshal(text, &a) == nil && a.State != "" && a.Nonce != "" && a.Verifier != ""
}

// startOpenID sends the browser to the provider. It is a link, since the pages' policy lets forms lead nowhere else.
func (p *Pages) startOpenID(w http.ResponseWriter, r *http.Request) {
	next := nextOf(r.URL.Query().Get("next"))
	ctx, cancel := context.WithTimeout(r.Context(), providerTimeout)
	defer cancel()
	_, config, err := p.openID.found(ctx)
	if err != nil {
		p.log.Error("the OpenID provider does not answer", "issuer", p.openID.Issuer, "error", err)
		p.renderSignIn(w, r, signInForm{Next: next}, &problem{Status: http.StatusServiceUnavailable, Detail: "The provider that signs people in does not answer. Try again in a moment."})
		return
	}
	a := attempt{State: oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier(), Next: next}
	setAttempt(w, r, &a)
	http.Redirect(w, r, config.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), http.StatusSeeOther)
}

// claims are what the provider says of a person.
type claims struct {
	Nonce         string   `json:"nonce"`
	Email         string   `json:"email"`
	EmailVerified flag     `json:"email_verified"`
	Groups        []string `json:"groups"`
}

// flag is a truth value that some providers write as a text.
type flag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *flag) UnmarshalJSON(text []byte) error {
	*f = flag(strings.Trim(string(text), `"`) == "true")
	return nil
}

// errNotAllowed tells that the provider knows a person who may not come in.
var errNotAllowed = errors.New("the person is in none of the allowed domains and groups")

// finishOpenID begins a session for the person whom the provider sent back.
func (p *Pages) finishOpenID(w http.ResponseWriter, r *http.Request) {
	a, known := attemptOf(r)
	query := r.URL.Query()
	setAttempt(w, r, nil)
	if !known || subtle.ConstantTimeCompare([]byte(a.State), []byte(query.Get("state"))) != 1 {
		p.renderSignIn(w, r, signInForm{Next: "/"}, &problem{Status: http.StatusBadRequest, Detail: "This answer of the provider belongs to no attempt of this browser, or to one of more than ten minutes ago. Sign in again."})
		return
	}
	if query.Get("code") == "" {
		p.renderSignIn(w, r, signInForm{Next: nextOf(a.Next)}, &problem{Status: http.StatusForbidden, Detail: "The provider did not sign you in."})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookFor)
	defer cancel()
	session, err := p.sessionOf(ctx, r, &a, query)
	if err != nil {
		p.renderSignIn(w, r, signInForm{Next: nextOf(a.Next)}, p.refusalOfProvider(err))
		return
	}
	auth.SetSession(w, r, session)
	http.Redirect(w, r, nextOf(a.Next), http.StatusSeeOther)
}

// sessionOf begins a session for the person of an answer of the provider.
func (p *Pages) sessionOf(ctx context.Context, r *http.Request, a *attempt, answer url.Values) (string, error) {
	subject, c, err := p.openID.claimsOf(ctx, a, answer.Get("code"))
	if err != nil {
		return "", err
	}
	roles, err := p.openID.rolesOf(c)
	if err != nil {
		return "", err
	}
	person := auth.Person{Issuer: p.openID.Issuer, Subject: subject}
	if c.EmailVerified {
		person.Address = c.Email
	}
	return p.users.SignInPerson(ctx, person, roles, auth.SessionOf(r), browserOf(r))
}

// claimsOf exchanges a code for what the provider says of a person, and checks its signature, audience, time and nonce.
func (o *openID) claimsOf(ctx context.Context, a *attempt, code string) (subject string, c claims, err error) {
	provider, config, err := o.found(ctx)
	if err != nil {
		return "", c, err
	}
	ctx = oidc.ClientContext(ctx, o.client)
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return "", c, fmt.Errorf("exchange the code: %w", err)
	}
	text, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: o.ClientID}).Verify(ctx, text)
	if err != nil {
		return "", c, fmt.Errorf("verify the token: %w", err)
	}
	if err := id.Claims(&c); err != nil {
		return "", c, fmt.Errorf("read the token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(c.Nonce), []byte(a.Nonce)) != 1 {
		return "", c, errors.New("the token has another nonce")
	}
	return id.Subject, c, nil
}

// rolesOf returns the roles of a person who may come in.
func (o *openID) rolesOf(c claims) ([]string, error) {
	at := strings.LastIndexByte(c.Email, '@')
	byAddress := bool(c.EmailVerified) && at >= 0 && slices.Contains(o.AllowedDomains, strings.ToLower(c.Email[at+1:]))
	byGroup := slices.ContainsFunc(c.Groups, func(group string) bool { return slices.Contains(o.AllowedGroups, group) })
	if !byAddress && !byGroup {
		return nil, errNotAllowed
	}
	roles := []string{auth.Owner}
	if o.OperatorGroup != "" && slices.Contains(c.Groups, o.OperatorGroup) {
		roles = append(roles, auth.Operator)
	}
	return roles, nil
}

func (p *Pages) refusalOfProvider(err error) *problem {
	switch {
	case errors.Is(err, auth.ErrOtherPerson):
		return &problem{Status: http.StatusConflict, Detail: "This browser is signed in as another person. Sign out first."}
	case errors.Is(err, errNotAllowed):
		return &problem{Status: http.StatusForbidden, Detail: "The provider knows you, but your account may not come in here: ask the operators. The address has to be verified."}
	}
	p.log.Error("cannot sign a person in by the OpenID provider", "issuer", p.openID.Issuer, "error", err)
	return &problem{Status: http.StatusBadGateway, Detail: "The provider's answer could not be used. Sign in again; if that does not help, ask the operators."}
}
