package actions_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
)

// Answers go after a week, also those of persons who never come back, and a key that is used again is a new one then.
func TestAnswersAreKeptForAWeek(t *testing.T) {
	w := newOwner(t)
	w.user("ann")
	w.user("bob")
	for user, age := range map[string]string{"ann": "8 days", "bob": "6 days"} {
		w.Exec(`INSERT INTO idempotency_keys (user_id, key, request_hash, status, response, created_at)
			VALUES ($1, 'k', 'earlier', 200, 'earlier', now() - $2::interval)`, user, age)
	}
	w.Exec(`INSERT INTO idempotency_keys (user_id, key, request_hash, status, response, created_at)
		SELECT 'bob', n::text, '', 200, '', now() - interval '9 days' FROM generate_series(1, 50) n`)
	recall := func(user string) (found bool) {
		var a actions.Answer
		w.Must(w.do(func(b *pgx.Batch) { actions.Recall(b, user, "k", &a, &found) }))
		return found
	}
	w.same([]bool{recall("ann"), recall("bob")}, []bool{false, true})
	remember := func(key string) {
		a := actions.Answer{RequestHash: []byte("h"), Status: 200, Response: []byte("later")}
		w.Must(w.do(func(b *pgx.Batch) { a.Remember(b, "ann", key) }))
	}
	remember("k")
	w.same(w.texts("SELECT convert_from(response, 'UTF8') FROM idempotency_keys WHERE user_id = 'ann'"), []string{"later"})
	remember("l")
	remember("m")
	w.same(w.texts("SELECT user_id || ' ' || key FROM idempotency_keys ORDER BY 1"), []string{"ann k", "ann l", "ann m", "bob k"})
}

// A proposal that nobody decided is deleted a year later. What was decided stays: it can be taken back, and keeps its mail from
// being proposed again.
func TestExpiredProposalsAreKeptForAYear(t *testing.T) {
	w := newOwner(t)
	for _, user := range []string{"ann", "bob"} {
		w.user(user)
	}
	ids := map[string]events.UUID{}
	for _, mail := range []string{"old", "decided", "pending"} {
		ids[mail] = w.propose("bob", mail, 1)
	}
	w.decide("bob", ids["decided"], actions.Approved)
	w.Exec("UPDATE actions SET created_at = now() - interval '400 days'")
	w.Exec("UPDATE actions SET status = 'expired' WHERE email_id = 'old'")
	w.propose("bob", "young", 1) // bob's pending one expires, and is as old
	w.propose("bob", "late", 1)
	for mail, age := range map[string]string{"young": "300 days", "late": "400 days"} {
		w.Exec("UPDATE actions SET status = 'expired', created_at = now() - $2::interval WHERE email_id = $1", mail, age)
	}
	w.propose("ann", "another", 1)
	w.same(w.texts("SELECT email_id || ' ' || status FROM actions ORDER BY 1"), []string{"another pending", "decided approved", "young expired"})
}
