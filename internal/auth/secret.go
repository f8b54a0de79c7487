package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// secretPrefix lets people and secret scanners recognise a leaked secret of this product.
const secretPrefix = "applylens_"

const secretBytes = 32

var secretLength = len(secretPrefix) + base64.RawURLEncoding.EncodedLen(secretBytes)

func newSecret() string {
	var random [secretBytes]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails: it ends the program instead
	return secretPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// presented returns the secret of a request and its kind; empty when it carries no well-formed one. The Authorization
// header has precedence over the cookie.
func presented(r *http.Request) (secret, kind string) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, value, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "bearer") {
			return "", ""
		}
		return wellFormed(strings.TrimSpace(value)), Bearer
	}
	return SessionOf(r), Session
}

// wellFormed returns secret if it can be one, else nothing, so that the database is not asked.
func wellFormed(secret string) string {
	if len(secret) != secretLength || !strings.HasPrefix(secret, secretPrefix) {
		return ""
	}
	return secret
}
