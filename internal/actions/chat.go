package actions

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// insertStream keeps a question that is to be run once. deleteSurplus makes room for it among the latest 20 of the person. deleteStreams
// forgets some of those that are too old to run, whoever's they are; it takes more than one comes.
const (
	insertStream  = `INSERT INTO chat_streams (hash, user_id, request) VALUES ($1, $2, $3)`
	deleteStreams = `
DELETE FROM chat_streams WHERE hash = ANY (ARRAY(
    SELECT hash FROM chat_streams WHERE created_at < now() - interval '2 minutes'
    ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED))`
	deleteSurplus = `
DELETE FROM chat_streams WHERE hash = ANY (ARRAY(
    SELECT hash FROM chat_streams WHERE user_id = $1
    ORDER BY created_at DESC OFFSET 19 FOR UPDATE SKIP LOCKED))`
)

// useStream marks a question of the person that is young enough as run, and tells whether it was run before. Of several at once, one
// comes first.
const useStream = `
UPDATE chat_streams s SET used_at = COALESCE(old.used_at, now())
FROM (SELECT hash, used_at FROM chat_streams
      WHERE hash = $1 AND user_id = $2 AND created_at >= now() - interval '2 minutes' FOR UPDATE) old
WHERE s.hash = old.hash
RETURNING s.request, old.used_at IS NOT NULL`

// spendRequest counts one more request of the person to the language model today, if there were fewer than $2.
const spendRequest = `
INSERT INTO chat_usage AS u (user_id, day, requests) VALUES ($1, (now() AT TIME ZONE 'UTC')::date, 1)
ON CONFLICT (user_id) DO UPDATE
SET day = excluded.day, requests = CASE WHEN u.day = excluded.day THEN u.requests + 1 ELSE 1 END
WHERE u.day <> excluded.day OR u.requests < $2`

// selectAbout lists what was proposed on mails and can be decided or was, the newest first. Each part has an index of its own.
const selectAbout = `
SELECT * FROM (
    SELECT` + columns + ` FROM actions a WHERE a.user_id = $1 AND a.email_id = ANY ($2) AND a.status = 'pending' AND a.created_at > now() - interval '30 days'
    UNION ALL
    SELECT` + columns + ` FROM actions a WHERE a.user_id = $1 AND a.email_id = ANY ($2) AND a.status IN ('approved', 'rejected')) a
ORDER BY created_at DESC, id
LIMIT $3`

// ErrNoStream tells that a person has no question with the id, or none that may still be run.
var ErrNoStream = errors.New("there is no such stream")

// KeepStream keeps a question of the person, to be run once by its id within two minutes, as long as it is among the person's latest 20.
func KeepStream(b *pgx.Batch, user, id string, request json.RawMessage) {
	b.Queue(deleteStreams)
	b.Queue(deleteSurplus, user)
	b.Queue(insertStream, hashOf(id), user, request)
}

// UseStream returns the question with the id and tells whether it was run before. The error is ErrNoStream if the person has none.
func UseStream(ctx context.Context, db DB, user, id string) (request json.RawMessage, again bool, err error) {
	err = db.QueryRow(ctx, useStream, hashOf(id), user).Scan(&request, &again)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, ErrNoStream
	}
	if err != nil {
		return nil, false, fmt.Errorf("use stream: %w", err)
	}
	return request, again, nil
}

func hashOf(id string) []byte {
	sum := sha256.Sum256([]byte(id))
	return sum[:]
}

// Spend counts a request of the person to the language model, and tells whether the person had any left of so many a day.
func Spend(ctx context.Context, db DB, user string, most int) (bool, error) {
	tag, err := db.Exec(ctx, spendRequest, user, most)
	if err != nil {
		return false, fmt.Errorf("count a request to the language model: %w", err)
	}
	return most > 0 && tag.RowsAffected() > 0, nil
}

// About lists what was proposed on the person's mails, at most so much.
func About(ctx context.Context, db DB, user string, mails []string, most int) ([]*Action, error) {
	return list(ctx, db, "read proposals on mails", scan, selectAbout, user, mails, most)
}
