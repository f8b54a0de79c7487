package actions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

// selectWaitingPersons lists persons who have mail that waits, from one on, each once however much waits. Persons who are not
// there yet have no time of creation.
const selectWaitingPersons = `
WITH RECURSIVE waiting (user_id, place) AS (
    (SELECT user_id, 1 FROM new_mails WHERE considered_at IS NULL AND user_id > $1 ORDER BY user_id LIMIT 1)
    UNION ALL
    SELECT next.user_id, w.place + 1
    FROM waiting w
    CROSS JOIN LATERAL (SELECT user_id FROM new_mails WHERE considered_at IS NULL AND user_id > w.user_id ORDER BY user_id LIMIT 1) next
    WHERE w.place < $2)
SELECT w.user_id, u.created_at FROM waiting w LEFT JOIN users u ON u.id = w.user_id ORDER BY w.user_id`

// selectWaitingMails lists some of the person's mails that wait, the newest first, and tells which of them are too old by now, and
// which were folded more than an hour ago.
const selectWaitingMails = `
SELECT mail_id, received_at <= now() - interval '30 days', folded_at < now() - interval '1 hour'
FROM new_mails
WHERE user_id = $1 AND considered_at IS NULL AND late = $2
ORDER BY received_at DESC, mail_id
LIMIT $3`

// selectLateComing tells for how long no late mail of the person has come, and for how long the first has waited.
const selectLateComing = `
SELECT COALESCE(extract(epoch FROM now() - max(folded_at)), 0)::float8, COALESCE(extract(epoch FROM now() - min(folded_at)), 0)::float8
FROM new_mails
WHERE user_id = $1 AND considered_at IS NULL AND late`

// countProposed counts what was proposed to the person in the last day: for late mail, and for other mail.
const countProposed = `
SELECT count(*) FILTER (WHERE late), count(*) FILTER (WHERE NOT late)
FROM new_mails
WHERE user_id = $1 AND proposed AND considered_at > now() - interval '1 day'`

// considerMails notes that mails of the person were put before the policies, and returns those that waited for it.
const considerMails = `
UPDATE new_mails SET considered_at = now()
WHERE user_id = $1 AND mail_id = ANY ($2::uuid[]) AND considered_at IS NULL
RETURNING mail_id`

// noteProposed notes for which of them something was proposed.
const noteProposed = `
UPDATE new_mails SET proposed = true WHERE user_id = $1 AND mail_id = ANY ($2::uuid[])`

// passOver ends the wait of some mails of the person without putting them before the policies.
const passOver = `
UPDATE new_mails SET considered_at = now()
WHERE user_id = $1 AND mail_id = ANY (ARRAY(
    SELECT mail_id FROM new_mails WHERE user_id = $1 AND considered_at IS NULL AND late = $2 LIMIT $3))`

// selectProposedMails returns those of the mails for which something was proposed, whatever became of it. Each state of a
// proposal has an index of its own.
const selectProposedMails = `
SELECT m.id FROM unnest($2::uuid[]) AS m (id)
WHERE EXISTS (SELECT FROM actions a WHERE a.user_id = $1 AND a.email_id = m.id::text AND a.status = 'pending')
   OR EXISTS (SELECT FROM actions a WHERE a.user_id = $1 AND a.email_id = m.id::text AND a.status IN ('approved', 'rejected'))
   OR EXISTS (SELECT FROM actions a WHERE a.user_id = $1 AND a.email_id = m.id::text AND a.status = 'expired')`

// lookThroughVersion tells of the next mails of a version that became live, and returns the last of them. It holds them until
// the end of the transaction, so that a person whom a fold erases meanwhile is not told of.
const lookThroughVersion = `
WITH page AS MATERIALIZED (
    SELECT id, user_id, received_at FROM mails WHERE version = $1 AND id > $2 ORDER BY id LIMIT $3
), fresh AS MATERIALIZED (
    SELECT m.id, m.user_id, m.received_at FROM page p JOIN mails m ON m.version = $1 AND m.id = p.id
    WHERE p.received_at > now() - interval '30 days'
      AND NOT EXISTS (SELECT FROM new_mails n WHERE n.user_id = p.user_id AND n.mail_id = p.id)
    ORDER BY m.id FOR KEY SHARE OF m
), told AS (
    SELECT add_new_mails(COALESCE(array_agg(user_id ORDER BY id), '{}'), COALESCE(array_agg(id ORDER BY id), '{}'), COALESCE(array_agg(received_at ORDER BY id), '{}'))
    FROM fresh
)
SELECT id FROM page, told ORDER BY id DESC LIMIT 1`

// nextVersion takes a version that became live and was not looked through yet, and tells whether it still is.
const nextVersion = `
SELECT v.version, v.after, EXISTS (SELECT FROM projections p WHERE p.group_name = 'mailbox' AND p.live_version = v.version)
FROM new_mail_versions v ORDER BY v.version LIMIT 1 FOR UPDATE SKIP LOCKED`

// passVersion and endVersion note how far a version was looked through, and that it was to its end.
const (
	passVersion = `
UPDATE new_mail_versions SET after = $2 WHERE version = $1`
	endVersion = `
DELETE FROM new_mail_versions WHERE version = $1`
)

// countWaiting counts the mail of known persons that waits, and tells for how many seconds the oldest has that is not late.
const countWaiting = `
SELECT count(*), COALESCE(extract(epoch FROM now() - min(n.folded_at) FILTER (WHERE NOT n.late)), 0)::float8
FROM new_mails n JOIN users u ON u.id = n.user_id
WHERE n.considered_at IS NULL`

// Person is somebody whose mail waits. Those who are not there yet have no time.
type Person struct {
	ID        string
	CreatedAt *time.Time
}

// WaitingPersons lists up to limit persons who have mail that waits to be put before their policies, in the order of their ids
// from after on.
func WaitingPersons(ctx context.Context, db DB, after string, limit int) ([]Person, error) {
	return list(ctx, db, "list persons with new mail", pgx.RowToStructByPos[Person], selectWaitingPersons, after, limit)
}

// WaitingMail is a mail that waits to be put before the policies.
type WaitingMail struct {
	ID   events.UUID
	Old  bool // too old by now to be put before them
	Long bool // it waits for so long that every version of the mailbox should have it
}

// WaitingMails stores in into up to limit mails of the person that wait, late ones or others, the newest first.
func WaitingMails(b *pgx.Batch, user string, late bool, limit int, into *[]WaitingMail) {
	queue(b, "list new mail", into, func(row pgx.CollectableRow) (WaitingMail, error) {
		var m WaitingMail
		var id [16]byte
		err := row.Scan(&id, &m.Old, &m.Long)
		m.ID = id
		return m, err
	}, selectWaitingMails, user, late, limit)
}

// LateComing stores for how long no late mail of the person has come, and for how long the first that waits has.
func LateComing(b *pgx.Batch, user string, quiet, first *time.Duration) {
	b.Queue(selectLateComing, user).QueryRow(func(row pgx.Row) error {
		var seconds [2]float64
		if err := row.Scan(&seconds[0], &seconds[1]); err != nil {
			return fmt.Errorf("look for late mail: %w", err)
		}
		*quiet, *first = time.Duration(seconds[0]*float64(time.Second)), time.Duration(seconds[1]*float64(time.Second))
		return nil
	})
}

// ProposedCount is how many proposals the proposer made for a person in the last day.
type ProposedCount struct{ Late, Prompt int }

// CountProposed stores that number.
func CountProposed(b *pgx.Batch, user string, into *ProposedCount) {
	b.Queue(countProposed, user).QueryRow(func(row pgx.Row) error {
		if err := row.Scan(&into.Late, &into.Prompt); err != nil {
			return fmt.Errorf("count proposals: %w", err)
		}
		return nil
	})
}

// Consider notes that mails of the person were put before the policies, and stores in waited those that had waited for it; nil:
// nowhere.
func Consider(b *pgx.Batch, user string, mails []events.UUID, waited *[]events.UUID) {
	query := b.Queue(considerMails, user, postgres.UUIDs(mails))
	if waited != nil {
		query.Query(collectUUIDs("consider new mail", waited))
	}
}

// ProposedMails stores in found those of the mails for which something was proposed before, whatever became of it.
func ProposedMails(b *pgx.Batch, user string, mails []events.UUID, found *[]events.UUID) {
	b.Queue(selectProposedMails, user, postgres.UUIDs(mails)).Query(collectUUIDs("look for proposals", found))
}

func collectUUIDs(doing string, into *[]events.UUID) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		*into = nil
		for _, id := range found {
			*into = append(*into, id)
		}
		return nil
	}
}

// NoteProposed notes for which mails the proposer has proposed something.
func NoteProposed(b *pgx.Batch, user string, mails []events.UUID) {
	b.Queue(noteProposed, user, postgres.UUIDs(mails))
}

// PassOver ends the wait of up to limit mails of the person, late ones or others, and stores how many.
func PassOver(b *pgx.Batch, user string, late bool, limit int, passed *int64) {
	b.Queue(passOver, user, late, limit).Exec(func(tag pgconn.CommandTag) error {
		*passed = tag.RowsAffected()
		return nil
	})
}

// LookThroughVersions looks for new mail among up to limit mails of a version of the mailbox that became live: those that were
// folded before it did. It tells whether there may be more. The transaction is the caller's.
func LookThroughVersions(ctx context.Context, tx DB, limit int) (more bool, err error) {
	var version int
	var after, last [16]byte
	var live bool
	err = tx.QueryRow(ctx, nextVersion).Scan(&version, &after, &live)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err == nil && live {
		err = tx.QueryRow(ctx, lookThroughVersion, version, after, limit).Scan(&last)
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows) || err == nil && !live:
		_, err = tx.Exec(ctx, endVersion, version)
	case err == nil:
		_, err = tx.Exec(ctx, passVersion, version, last)
	}
	if err != nil {
		return false, fmt.Errorf("look for new mail in a version: %w", err)
	}
	return true, nil
}

// WaitingCount is how much mail waits to be put before policies.
type WaitingCount struct {
	Mails   int64   // of known persons
	Seconds float64 // for which the oldest of it has waited that is not late; 0 when there is none
}

// CountWaiting counts it.
func CountWaiting(ctx context.Context, db DB) (WaitingCount, error) {
	var w WaitingCount
	if err := db.QueryRow(ctx, countWaiting).Scan(&w.Mails, &w.Seconds); err != nil {
		return WaitingCount{}, fmt.Errorf("count new mail: %w", err)
	}
	return w, nil
}
