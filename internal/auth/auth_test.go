package auth

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

func same(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPersonsAreNormalized(t *testing.T) {
	f := func(user User, fault string) {
		t.Helper()
		err := user.normalize()
		if (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%q: %v, want %q", user.ID, err, fault)
		}
	}
	f(User{ID: "alice", Addresses: []string{"Alice <A@Example.com>"}}, "")
	f(User{ID: strings.Repeat("x", 200)}, "")
	f(User{ID: strings.Repeat("x", 201)}, "200 bytes")
	f(User{}, "200 bytes")
	f(User{ID: "a\xff"}, "200 bytes")
	f(User{ID: "a\nb"}, "control")
	f(User{ID: "a", Addresses: []string{"nobody"}}, "nobody")
}

func TestSecretsOfRequests(t *testing.T) {
	secret := newSecret()
	f := func(want, kind string, headers ...string) {
		t.Helper()
		r := httptest.NewRequest("GET", "/", nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		got, gotKind := presented(r)
		if got != want || want != "" && gotKind != kind {
			t.Errorf("%q: %q %q", headers, got, gotKind)
		}
	}
	f(secret, Bearer, "Authorization", "Bearer "+secret)
	f(secret, Bearer, "Authorization", "bearer  "+secret)
	f(secret, Session, "Cookie", Cookie+"="+secret)
	f(secret, Bearer, "Authorization", "Bearer "+secret, "Cookie", Cookie+"=x")
	f("", "", "Authorization", "Bearer "+secret+"x")
	f("", "", "Authorization", "Bearer x", "Cookie", Cookie+"="+secret)
	f("", "", "Authorization", secret)
	f("", "", "Authorization", "Basic "+secret)
	f("", "", "Cookie", "other="+secret)
	f("", "")
}

func TestCreateUser(t *testing.T) {
	pool, _ := testenv.Database(t)
	s := NewStore(pool)
	ctx := t.Context()
	created, err := s.CreateUser(ctx, User{ID: "alice", Addresses: []string{"Alice@Example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	if created.CreatedAt.IsZero() {
		t.Error("the time of creation is not known")
	}
	same(t, created, User{ID: "alice", Addresses: []string{"alice@example.com"}, CreatedAt: created.CreatedAt})
	extended, err := s.CreateUser(ctx, User{ID: "alice", Addresses: []string{"alice@example.com", "b@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	same(t, extended, User{ID: "alice", Addresses: []string{"alice@example.com", "b@example.com"}, CreatedAt: created.CreatedAt})
	var policies int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM policies WHERE user_id = 'alice'`).Scan(&policies); err != nil {
		t.Fatal(err)
	}
	same(t, policies, len(policy.Defaults()))
}

func TestTokens(t *testing.T) {
	pool, _ := testenv.Database(t)
	s := NewStore(pool)
	ctx := t.Context()
	if _, err := s.CreateToken(ctx, "nobody", Bearer, "", time.Time{}); !errors.Is(err, ErrNoUser) {
		t.Errorf("token of nobody: %v", err)
	}
	configured := func(want bool) {
		t.Helper()
		if got, err := s.Configured(ctx); err != nil || got != want {
			t.Errorf("configured %v, %v; want %v", got, err, want)
		}
	}
	created, err := s.CreateUser(ctx, User{ID: "alice", Addresses: []string{"a@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateToken(ctx, "alice", Bearer, "old", time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	configured(false)
	secret, err := s.CreateToken(ctx, "alice", Bearer, "laptop", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	configured(true)

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	caller, err := s.Authenticate(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	same(t, *caller, Caller{User{ID: "alice", Addresses: []string{"a@example.com"}, CreatedAt: created.CreatedAt}, []string{Owner}})

	list, err := s.Tokens(ctx, "")
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	same(t, []string{list[0].Name, list[1].Name, list[0].UserID, list[0].Kind}, []string{"laptop", "old", "alice", Bearer})
	for _, want := range []bool{true, false} {
		if found, err := s.Revoke(ctx, list[0].ID); err != nil || found != want {
			t.Errorf("revoked %v, %v; want %v", found, err, want)
		}
	}
	if _, err := s.Authenticate(ctx, r); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a revoked token: %v", err)
	}
	if list, err = s.Tokens(ctx, "bob"); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
}

// TestRolesBelongToTokens: a token that makes an operator for an hour leaves the person's other tokens as they are.
func TestRolesBelongToTokens(t *testing.T) {
	pool, _ := testenv.Database(t)
	s := NewStore(pool)
	ctx := t.Context()
	if _, err := s.CreateUser(ctx, User{ID: "alice"}); err != nil {
		t.Fatal(err)
	}
	create := func(roles ...string) (secret string) {
		t.Helper()
		secret, err := s.CreateToken(ctx, "alice", Bearer, "", time.Now().Add(time.Hour), roles...)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	rolesOf := func(secret string) []string {
		t.Helper()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		caller, err := s.Authenticate(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		return caller.Roles
	}
	before, both := create(), create(Owner, Operator)
	after, operator := create(), create(Operator)
	same(t, [][]string{rolesOf(before), rolesOf(both), rolesOf(after), rolesOf(operator)},
		[][]string{{Owner}, {Owner, Operator}, {Owner}, {Operator}})
	if _, err := s.CreateToken(ctx, "alice", Bearer, "", time.Time{}, "root"); err == nil {
		t.Error("a token has the role root")
	}

	list, err := s.Tokens(ctx, "alice")
	if err != nil || len(list) != 4 {
		t.Fatal(list, err)
	}
	demoted := 0
	for _, token := range list {
		want := len(token.Roles) == 2
		for _, want := range []bool{want, false} {
			if found, err := s.Demote(ctx, token.ID); err != nil || found != want {
				t.Errorf("a token with the roles %v is demoted: %v, %v; want %v", token.Roles, found, err, want)
			}
		}
		if want {
			demoted++
		}
	}
	same(t, demoted, 1)
	same(t, [][]string{rolesOf(both), rolesOf(operator)}, [][]string{{Owner}, {Operator}})
}

func TestSecretIsNotStored(t *testing.T) {
	pool, _ := testenv.Database(t)
	s := NewStore(pool)
	if _, err := s.CreateUser(t.Context(), User{ID: "alice"}); err != nil {
		t.Fatal(err)
	}
	secret, err := s.CreateToken(t.Context(), "alice", Bearer, "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var row string
	if err := pool.QueryRow(t.Context(), `SELECT encode(hash, 'escape') || t::text FROM tokens t`).Scan(&row); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(row, secret) || strings.Contains(row, strings.TrimPrefix(secret, secretPrefix)) {
		t.Error("the table holds the secret")
	}
}
