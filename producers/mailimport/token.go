package mailimport

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// selectTokenUser finds the owner of a bearer token that has not run out; only the token's hash is stored.
const selectTokenUser = `
SELECT user_id
FROM tokens
WHERE hash = $1 AND kind = 'bearer' AND (expires_at IS NULL OR expires_at > now())`

// ErrToken tells that a token is unknown or has run out.
var ErrToken = errors.New("the token is unknown or has run out")

// UserOf returns the id of the user whom the token belongs to. The error is ErrToken when there is none.
func UserOf(ctx context.Context, db *pgxpool.Pool, token string) (string, error) {
	hash := sha256.Sum256([]byte(token))
	var user string
	err := db.QueryRow(ctx, selectTokenUser, hash[:]).Scan(&user)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", ErrToken
	}
	if err != nil {
		return "", fmt.Errorf("look up the token's user: %w", err)
	}
	return user, nil
}
