// Package auth authenticates callers: users, their secrets, and the roles of secrets.
//
// It owns the table tokens; internal/actions owns users. It stores only the SHA-256 of a secret, which has 256 random bits
// and needs no slow hash. A revoked or expired secret stops working with the next request, since nothing is cached. What a
// role may do is decided by internal/api.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
)

// The roles of a secret. An owner's shows and changes what is the person's own; an operator's shows how the deployment runs,
// and no mail. A secret may have both.
const (
	Owner    = "owner"
	Operator = "operator"
)

// The kinds of secrets.
const (
	Bearer  = "bearer"  // sent by programs in the Authorization header
	Session = "session" // sent by a browser in the cookie Cookie
	Login   = "login"   // exchanged once for a session
)

// ErrUnauthenticated tells that a request carries no valid secret.
var ErrUnauthenticated = errors.New("no valid token or session")

// ErrNoUser tells that there is no user with the id.
var ErrNoUser = errors.New("there is no such user")

// User is a person.
type User struct {
	ID        string   // opaque, 1..200 bytes
	Addresses []string // the person's own, lower case, the domain in ASCII

	// CreatedAt distinguishes a person from a later one who has the id of a person who was erased.
	CreatedAt time.Time

	// DemoUntil is when a demo person is removed, who looks around with sample mail; zero for everybody else.
	DemoUntil time.Time
}

// Demo tells whether it is a demo person.
func (u *User) Demo() bool { return !u.DemoUntil.IsZero() }

// Caller is a person with the roles of the secret that a request carries.
type Caller struct {
	User
	Roles []string
}

// Has tells whether the caller has a role.
func (c *Caller) Has(role string) bool { return slices.Contains(c.Roles, role) }

// normalize checks u and brings its addresses to the stored form.
func (u *User) normalize() error {
	if len(u.ID) < 1 || len(u.ID) > events.MaxUserID || !utf8.ValidString(u.ID) {
		return fmt.Errorf("a user id has 1 to %d bytes of UTF-8", events.MaxUserID)
	}
	if strings.ContainsFunc(u.ID, unicode.IsControl) {
		return errors.New("a user id has no control characters")
	}
	addresses := make([]string, 0, len(u.Addresses))
	for _, text := range u.Addresses {
		parsed, err := mail.ParseAddress(text)
		if err != nil {
			return fmt.Errorf("%q is not an address", text)
		}
		addresses = append(addresses, domain.Address(parsed.Address))
	}
	u.Addresses = addresses
	return nil
}

// Token describes a secret, which itself is not stored.
type Token struct {
	ID        string     `json:"id"` // 16 hex digits, made of the stored hash
	UserID    string     `json:"user_id"`
	Kind      string     `json:"kind"`
	Name      string     `json:"name"`
	Roles     []string   `json:"roles"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"` // nil: never
}

type contextKey struct{}

// With returns a context that carries the caller.
func With(ctx context.Context, caller *Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, caller)
}

// From returns the caller; nil when nobody was authenticated.
func From(ctx context.Context) *Caller {
	caller, _ := ctx.Value(contextKey{}).(*Caller)
	return caller
}
