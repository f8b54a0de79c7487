package person

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
)

// unhurried lifts the time limits, for a person with much mail, and lets a lock wait for folds in progress.
const unhurried = `
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL lock_timeout = '30s'`

// selectAddresses reads the keys of a person's own addresses.
const selectAddresses = `
SELECT address FROM own_addresses WHERE user_id = $1
UNION
SELECT address_key(address) FROM mail_addresses WHERE user_id = $1`

// unmarkAddresses deletes the marks of own addresses that no longer belong to anybody.
const unmarkAddresses = `
DELETE FROM dirty_addresses d
WHERE d.address = ANY ($1) AND d.company = '*'
  AND NOT EXISTS (SELECT FROM mail_addresses o WHERE address_key(o.address) = d.address)
  AND NOT EXISTS (SELECT FROM own_addresses o WHERE o.address = d.address)`

// eraseFolded deletes a person from all versions of a projection's table.
const eraseFolded = `DELETE FROM %s WHERE user_id = $1`

// eraseMails does so for mails and marks each of them, so that the indexer deletes its document.
const eraseMails = `
WITH gone AS (DELETE FROM mails WHERE user_id = $1 RETURNING id),
marked AS (SELECT mark_mails(array_agg(id)) FROM gone)
SELECT DISTINCT id FROM gone, marked`

// selectLeftovers finds partitions that an interrupted drop of a version detached but did not drop.
const selectLeftovers = `
SELECT c.relname::text FROM pg_class c
WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid) AND c.relname ~ '_[0-9]+$'
  AND regexp_replace(c.relname, '_[0-9]+$', '') = ANY ($1)
  AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND NOT i.inhdetachpending)
ORDER BY c.relname`

// eraseLetters empties the dead letters that hold something of a person, even if only their key. The rows stay as the
// outcome of their records. It returns the ids that their redriven events have in the outbox.
const eraseLetters = `
UPDATE dead_letters
SET key = NULL, value = NULL, headers = NULL, user_id = '', detail = '', state = 'erased', state_note = '', updated_at = now()
WHERE user_id = $1 OR user_id <> '' AND key = convert_to($1, 'UTF8')
RETURNING 'redrive-' || id`

// How an erasure that met a deadlock is retried: folds lock the same rows, not always in the same order.
const (
	firstConflictPause = time.Millisecond
	mostConflictPause  = 100 * time.Millisecond
	conflictAttempts   = 5
)

// forever is later than any stored time.
var forever = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// Counts are rows by table.
type Counts map[string]int64

// Erased tells what erasing a person did.
type Erased struct {
	EventID string `json:"event_id"` // ce_id of user.erased
	Rows    Counts `json:"rows"`     // deleted, or emptied
}

// Erase deletes a person, in one transaction. It may be repeated, and run while the person is active: a change that
// already holds the person's lock commits first and is erased too; any other finds no such person. The error is an
// *events.Error for an invalid id.
func Erase(ctx context.Context, pool *pgxpool.Pool, id string) (*Erased, error) {
	source, err := outbox.Source(ctx, pool)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	event := &events.Event{
		Envelope: events.Envelope{Type: events.TypeUserErased, ID: events.NewUUIDv7(now).String(), Source: source},
		Erasure:  &events.Erasure{UserID: id, RecordedAt: now},
	}
	if err := event.Validate(); err != nil {
		return nil, err
	}
	var rows Counts
	err = retry.Until(ctx, firstConflictPause, mostConflictPause, func(attempt int) error {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
			rows, err = erase(ctx, tx, event)
			return err
		})
		if postgres.Classify(err) != postgres.Conflict || attempt+1 == conflictAttempts {
			return retry.Stop(err)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("erase person: %w", err)
	}
	return &Erased{event.ID, rows}, nil
}

// erase does the work of Erase within tx. The event comes last in the outbox, after everything that it erases.
func erase(ctx context.Context, tx pgx.Tx, event *events.Event) (Counts, error) {
	id := event.Erasure.UserID
	if _, err := tx.Exec(ctx, unhurried); err != nil {
		return nil, err
	}
	made, now, err := actions.LockAny(ctx, tx, id) // nothing that the person does is in flight from here on
	if err != nil {
		return nil, err
	}
	addresses, err := texts(ctx, tx, selectAddresses, id)
	if err != nil {
		return nil, fmt.Errorf("read own addresses: %w", err)
	}
	rows := Counts{}
	if err := rows.eraseFolded(ctx, tx, id); err != nil {
		return nil, err
	}
	redriven, err := texts(ctx, tx, eraseLetters, id)
	if err != nil {
		return nil, fmt.Errorf("erase dead letters: %w", err)
	}
	rows["dead_letters"] = int64(len(redriven))
	if err := rows.eraseOwned(ctx, tx, id, forever, redriven); err != nil {
		return nil, err
	}
	if made {
		rows["users"]--
	}
	if _, err := tx.Exec(ctx, unmarkAddresses, addresses); err != nil {
		return nil, fmt.Errorf("take marks off addresses: %w", err)
	}
	event.Time, event.Erasure.RecordedAt = now, now
	return rows, outbox.Add(ctx, tx, event)
}

// eraseFolded deletes the person from all versions of the projections. Events that are not folded yet are folded later,
// and erased again when the group reaches user.erased.
func (c Counts) eraseFolded(ctx context.Context, tx pgx.Tx, id string) error {
	for _, table := range folded {
		statement := fmt.Sprintf(eraseFolded, table)
		if table == "mails" {
			statement = eraseMails
		}
		if err := c.run(ctx, tx, table, statement, id); err != nil {
			return err
		}
	}
	leftovers, err := texts(ctx, tx, selectLeftovers, folded)
	if err != nil {
		return fmt.Errorf("look for dropped versions: %w", err)
	}
	for _, table := range leftovers {
		if err := c.run(ctx, tx, table, fmt.Sprintf(eraseFolded, pgx.Identifier{table}.Sanitize()), id); err != nil {
			return err
		}
	}
	return nil
}

func (c Counts) eraseOwned(ctx context.Context, tx pgx.Tx, id string, until time.Time, events []string) error {
	tokens, err := auth.Erase(ctx, tx, id, until)
	if err != nil {
		return err
	}
	rows, err := actions.Erase(ctx, tx, id, until)
	if err != nil {
		return err
	}
	voided, err := outbox.Void(ctx, tx, id, until, events)
	maps.Copy(c, rows)
	c["tokens"], c["outbox"] = tokens, voided
	return err
}

// texts runs a statement that returns one column of text.
func texts(ctx context.Context, tx pgx.Tx, statement string, args ...any) ([]string, error) {
	rows, err := tx.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (c Counts) run(ctx context.Context, tx pgx.Tx, table, statement string, args ...any) error {
	tag, err := tx.Exec(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("erase from %s: %w", table, err)
	}
	c[table] += tag.RowsAffected()
	return nil
}

// EraseOwned deletes what the API and the outbox keep of a person up to a moment. The relay calls it for an erasure that is
// in the log but not in a database restored from a backup. Rows of a new person under the same id stay. The projections
// are left to their groups, which reach the record later.
func EraseOwned(ctx context.Context, tx pgx.Tx, id string, until time.Time) error {
	return Counts{}.eraseOwned(ctx, tx, id, until, nil)
}
