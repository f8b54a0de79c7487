package actions

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// selectAnswer finds what an earlier request with the key was answered, within a week.
const selectAnswer = `
SELECT request_hash, event_id, response FROM idempotency_keys
WHERE user_id = $1 AND key = $2 AND created_at >= now() - interval '7 days'`

// deleteAnswers forgets some of the answers that are older, whoever's they are: persons who do not come back have some too.
// It takes more than one comes, so that they become no more.
const deleteAnswers = `
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '7 days'
    ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED))`

// insertAnswer remembers an answer in the transaction that made it true.
const insertAnswer = `
INSERT INTO idempotency_keys AS i (user_id, key, request_hash, status, event_id, response)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (user_id, key) DO UPDATE
SET request_hash = excluded.request_hash, status = excluded.status, event_id = excluded.event_id, response = excluded.response, created_at = now()
WHERE i.created_at < now() - interval '7 days'`

// Answer is what a request with an Idempotency-Key was answered.
type Answer struct {
	RequestHash []byte
	Status      int
	EventID     string
	Response    []byte
}

// Recall stores in a what an earlier request of the person with the key was answered, and in found whether there was one.
func Recall(b *pgx.Batch, user, key string, a *Answer, found *bool) {
	b.Queue(selectAnswer, user, key).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&a.RequestHash, &a.EventID, &a.Response)
		*found = err == nil
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("recall answer: %w", err)
		}
		return nil
	})
}

// Remember keeps the answer to a request of the person with the key for a week.
func (a *Answer) Remember(b *pgx.Batch, user, key string) {
	b.Queue(deleteAnswers)
	b.Queue(insertAnswer, user, key, a.RequestHash, a.Status, a.EventID, a.Response)
}
