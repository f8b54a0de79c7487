package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/policy"
)

// insertToken stores the hash of a secret.
const insertToken = `INSERT INTO tokens (hash, user_id, kind, name, roles, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`

// insertSession stores the hash of a session's secret, and of the token that it was begun with, if there is one. It ends with
// the token at the latest.
const insertSession = `
INSERT INTO tokens (hash, user_id, kind, name, roles, expires_at, parent)
VALUES ($1, $2, 'session', $3, $4, LEAST($5::timestamptz, (SELECT expires_at FROM tokens WHERE hash = $6)), $6)`

// selectCaller finds the user of a valid secret, and its roles.
const selectCaller = `
SELECT u.id, u.addresses, u.created_at, u.demo_until, t.roles
FROM tokens t
JOIN users u ON u.id = t.user_id
WHERE t.hash = $1 AND t.kind = $2 AND (t.expires_at IS NULL OR t.expires_at > now())`

// selectOwner reads a user by id.
const selectOwner = `SELECT addresses, created_at FROM users WHERE id = $1`

// selectTokens lists the secrets of one person, or of all for an empty id, newest first.
const selectTokens = `
SELECT encode(substring(hash FOR 8), 'hex'), user_id, kind, name, roles, created_at, expires_at
FROM tokens
WHERE $1 = '' OR user_id = $1
ORDER BY created_at DESC, hash`

// deleteToken revokes the secret with an id.
const deleteToken = `DELETE FROM tokens WHERE encode(substring(hash FOR 8), 'hex') = $1`

// demoteToken takes the role operator away from the secret with an id, which stays its owner's, and from the sessions that were begun
// with it.
const demoteToken = `
UPDATE tokens SET roles = '{owner}'
WHERE (encode(substring(hash FOR 8), 'hex') = $1
       OR parent IN (SELECT hash FROM tokens WHERE encode(substring(hash FOR 8), 'hex') = $1))
  AND roles @> '{owner,operator}'`

// eraseTokens deletes the secrets that a user got up to a moment.
const eraseTokens = `DELETE FROM tokens WHERE user_id = $1 AND created_at <= $2`

// existsToken tells whether there is any valid secret.
const existsToken = `SELECT EXISTS (SELECT FROM tokens WHERE expires_at IS NULL OR expires_at > now())`

// Store reads and writes persons and secrets. It is safe for concurrent use.
type Store struct{ pool *pgxpool.Pool }

// NewStore returns a store on a migrated database.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool} }

// CreateUser creates a user with a copy of the default policies. An existing user keeps everything and gains the addresses.
// It returns the user as stored.
func (s *Store) CreateUser(ctx context.Context, user User) (User, error) {
	if err := user.normalize(); err != nil {
		return User{}, err
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		added, err := actions.AddUser(ctx, tx, user.ID)
		if err != nil {
			return err
		}
		if added {
			if err := copyDefaults(ctx, tx, user.ID); err != nil {
				return err
			}
		}
		user.Addresses, user.CreatedAt, err = actions.ExtendUser(ctx, tx, user.ID, user.Addresses)
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("create user: %w", err)
	}
	return user, nil
}

// ErrDemos tells that there are as many demo persons as may be.
var ErrDemos = errors.New("there are as many demo persons as may be")

// CreateDemo returns the demo person whom somebody made, or creates the one that is given, with a copy of the default policies. The error
// is ErrDemos if there are most already.
func (s *Store) CreateDemo(ctx context.Context, user User, of string, most int) (User, error) {
	if err := user.normalize(); err != nil {
		return User{}, err
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		demo, added, err := actions.AddDemo(ctx, tx, actions.Demo{ID: user.ID, Until: user.DemoUntil}, of, most)
		switch {
		case err != nil:
			return err
		case demo.ID == "":
			return ErrDemos
		}
		user.ID, user.DemoUntil = demo.ID, demo.Until
		if !added {
			return nil
		}
		if err := copyDefaults(ctx, tx, user.ID); err != nil {
			return err
		}
		user.Addresses, user.CreatedAt, err = actions.ExtendUser(ctx, tx, user.ID, user.Addresses)
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("create a demo person: %w", err)
	}
	return user, nil
}

// Find returns the user with an id. The error is ErrNoUser if there is none.
func (s *Store) Find(ctx context.Context, id string) (User, error) {
	user := User{ID: id}
	err := s.pool.QueryRow(ctx, selectOwner, id).Scan(&user.Addresses, &user.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return User{}, fmt.Errorf("%w: %q", ErrNoUser, id)
	}
	if err != nil {
		return User{}, fmt.Errorf("find user: %w", err)
	}
	return user, nil
}

func copyDefaults(ctx context.Context, tx pgx.Tx, userID string) error {
	var batch pgx.Batch
	actions.AddPolicies(&batch, userID, policy.Defaults())
	return tx.SendBatch(ctx, &batch).Close()
}

// CreateToken creates a secret of a kind for a user and returns it; it cannot be read again later. A zero expires means
// never. Without roles it has the role Owner. The error is ErrNoUser for an unknown user.
func (s *Store) CreateToken(ctx context.Context, userID, kind, name string, expires time.Time, roles ...string) (string, error) {
	if len(roles) == 0 {
		roles = []string{Owner}
	}
	secret := newSecret()
	var expiresAt *time.Time
	if !expires.IsZero() {
		expiresAt = &expires
	}
	_, err := s.pool.Exec(ctx, insertToken, hash(secret), userID, kind, name, roles, expiresAt)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "23503" {
		return "", ErrNoUser
	}
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	return secret, nil
}

// Authenticate returns whose valid secret the request carries. The error is ErrUnauthenticated when there is none;
// any other error is the database's.
func (s *Store) Authenticate(ctx context.Context, r *http.Request) (*Caller, error) {
	secret, kind := presented(r)
	if secret == "" {
		return nil, ErrUnauthenticated
	}
	var caller Caller
	var demoUntil *time.Time
	err := s.pool.QueryRow(ctx, selectCaller, hash(secret), kind).Scan(&caller.ID, &caller.Addresses, &caller.CreatedAt, &demoUntil, &caller.Roles)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrUnauthenticated
	}
	if err != nil {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	if demoUntil != nil {
		caller.DemoUntil = *demoUntil
	}
	return &caller, nil
}

// Tokens lists the secrets of a user, or of all users for an empty id, newest first.
func (s *Store) Tokens(ctx context.Context, userID string) ([]Token, error) {
	rows, err := s.pool.Query(ctx, selectTokens, userID)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	tokens, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Token, error) {
		var t Token
		err := row.Scan(&t.ID, &t.UserID, &t.Kind, &t.Name, &t.Roles, &t.CreatedAt, &t.ExpiresAt)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return tokens, nil
}

// Revoke deletes the secret with an id, which stops working at once, and tells whether there was one.
func (s *Store) Revoke(ctx context.Context, id string) (bool, error) {
	deleted, err := s.pool.Exec(ctx, deleteToken, id)
	if err != nil {
		return false, fmt.Errorf("revoke token: %w", err)
	}
	return deleted.RowsAffected() > 0, nil
}

// Demote takes the role Operator away from the secret with an id, with the next request, and tells whether there was one that
// had both roles.
func (s *Store) Demote(ctx context.Context, id string) (bool, error) {
	demoted, err := s.pool.Exec(ctx, demoteToken, id)
	if err != nil {
		return false, fmt.Errorf("demote token: %w", err)
	}
	return demoted.RowsAffected() > 0, nil
}

// Configured tells whether there is any valid secret.
func (s *Store) Configured(ctx context.Context) (bool, error) {
	var exists bool
	if err := s.pool.QueryRow(ctx, existsToken).Scan(&exists); err != nil {
		return false, fmt.Errorf("look for tokens: %w", err)
	}
	return exists, nil
}

// Erase deletes the secrets that a user got up to a moment, within tx, and returns how many there were.
func Erase(ctx context.Context, tx pgx.Tx, userID string, until time.Time) (int64, error) {
	deleted, err := tx.Exec(ctx, eraseTokens, userID, until)
	if err != nil {
		return 0, fmt.Errorf("erase tokens: %w", err)
	}
	return deleted.RowsAffected(), nil
}
