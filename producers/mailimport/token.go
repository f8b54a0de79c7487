package mailimport

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// selectTokenUser finds the owner of an unexpired bearer token; only the token's hash is stored.
const selectTokenUser = `
SELECT user_id
FROM tokens
WHERE hash = $1 AND kind = 'bearer' AND (expires_at IS NULL OR expires_at > now())`

// ErrToken means that a token is unknown or expired.
var ErrToken = errors.New("the token is unknown or expired")

// UserOf returns the id of a token's owner. The error is ErrToken if the token is unknown or expired.
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
