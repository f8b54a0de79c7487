package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// secretPrefix lets people and scanners recognise a secret of this product where it should not be.
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

// presented returns the secret that a request carries, and its kind; empty when it carries none that can be one. The
// Authorization header counts before the cookie.
func presented(r *http.Request) (secret, kind string) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, value, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "bearer") {
			return "", ""
		}
		return wellFormed(strings.TrimSpace(value)), Bearer
	}
	cookie, err := r.Cookie(Cookie)
	if err != nil {
		return "", ""
	}
	return wellFormed(cookie.Value), Session
}

// wellFormed keeps guesses away from the database.
func wellFormed(secret string) string {
	if len(secret) != secretLength || !strings.HasPrefix(secret, secretPrefix) {
		return ""
	}
	return secret
}
