package person

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/uploads"
)

// unhurried lifts the time limits, for a person with much of everything, and lets a lock wait for folds in progress.
const unhurried = `
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL lock_timeout = '30s'`

// selectAddresses reads the keys of a person's own addresses.
const selectAddresses = `
SELECT address FROM own_addresses WHERE user_id = $1
UNION
SELECT address_key(address) FROM mail_addresses WHERE user_id = $1`

// lockMarks is what whoever changes marks calls first. lockAddressMarks locks what unmarkAddresses will delete before any mail
// is marked, in the order in which everybody marks.
const (
	lockMarks = `
SELECT lock_marks()`
	lockAddressMarks = `
SELECT FROM dirty_addresses WHERE address = ANY ($1) AND company = '*' ORDER BY address COLLATE "C", company COLLATE "C" FOR UPDATE`
)

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

// selectVersions finds the tables that hold one version of a projection's table. selectLeftovers finds those of them that an
// interrupted drop of a version detached but did not drop.
const (
	selectVersions = `
SELECT c.relname::text FROM pg_class c
WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid) AND c.relname ~ '_[0-9]+$'
  AND regexp_replace(c.relname, '_[0-9]+$', '') = ANY ($1)`
	selectLeftovers = selectVersions + `
  AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND NOT i.inhdetachpending)
ORDER BY c.relname`
)

// eraseLetters empties the dead letters that hold something of a person, even if only their key. The rows stay as the
// outcome of their records. It returns the ids that their redriven events have in the outbox.
const eraseLetters = `
UPDATE dead_letters
SET key = NULL, value = NULL, headers = NULL, user_id = '', detail = '', state = 'erased', state_note = '', updated_at = now()
WHERE id = ANY (ARRAY(
    SELECT id FROM dead_letters WHERE user_id <> '' AND user_id = $1
    UNION
    SELECT id FROM dead_letters WHERE user_id <> '' AND key = convert_to($1, 'UTF8')))
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

func (c Counts) add(more Counts) {
	for table, rows := range more {
		c[table] += rows
	}
}

// Erased tells what erasing a person did.
type Erased struct {
	EventID string `json:"event_id"` // ce_id of user.erased
	Rows    Counts `json:"rows"`     // deleted, or emptied
}

// EraseKnown does the same as Erase for a person of whom something is kept. Otherwise it changes nothing, and the error is
// ErrUnknown: the id may be mistyped. The outbox alone does not count, since it keeps the order of an earlier erasure.
func EraseKnown(ctx context.Context, pool *pgxpool.Pool, id string) (*Erased, error) {
	return eraseWith(ctx, pool, id, func(rows Counts) error {
		for table, count := range rows {
			if table != "outbox" && count > 0 {
				return nil
			}
		}
		return ErrUnknown
	})
}

// Erase deletes a person. It may be repeated, and run while the person is active: a change that already holds the person's
// lock commits first and is erased too; any other finds no such person. The error is an *events.Error for an invalid id.
//
// Most of what the consumers keep goes ahead, in small transactions that no fold has to wait for long. The rest is one
// transaction, and with it the order to erase. If it fails, the person is still there without what went ahead: what they
// taught and their mail return with a rebuild, or go when Erase is repeated.
func Erase(ctx context.Context, pool *pgxpool.Pool, id string) (*Erased, error) {
	return eraseWith(ctx, pool, id, func(Counts) error { return nil })
}

// eraseWith erases, and rolls back if check returns an error.
func eraseWith(ctx context.Context, pool *pgxpool.Pool, id string, check func(Counts) error) (*Erased, error) {
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
	uploaded, err := uploads.Erase(ctx, pool, id, forever) // the import of a file of theirs ends by that
	if err != nil {
		return nil, fmt.Errorf("erase person, to be repeated: %w", err)
	}
	if err := accounts.End(ctx, pool, id); err != nil { // otherwise mail could come in behind the erasure
		return nil, fmt.Errorf("erase person, to be repeated: %w", err)
	}
	rows, err := eraseAhead(ctx, pool, id)
	if err != nil {
		return nil, fmt.Errorf("erase person, begun and to be repeated: %w", err)
	}
	rows["uploads"] += uploaded
	var last Counts
	err = despiteDeadlocks(ctx, pool, func(tx pgx.Tx) (err error) {
		if last, err = erase(ctx, tx, event); err != nil {
			return err
		}
		last.add(rows)
		return check(last)
	})
	if errors.Is(err, ErrUnknown) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("erase person, begun and to be repeated: %w", err)
	}
	return &Erased{event.ID, last}, nil
}

// despiteDeadlocks runs f in a transaction, and again when it met a deadlock.
func despiteDeadlocks(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	return retry.Until(ctx, firstConflictPause, mostConflictPause, func(attempt int) error {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, unhurried); err != nil {
				return err
			}
			return f(tx)
		})
		if postgres.Classify(err) != postgres.Conflict || attempt+1 == conflictAttempts {
			return retry.Stop(err)
		}
		return err
	})
}

// erase does the last part of Erase within tx. What folds wait for comes late, and in the order in which they lock it. The
// event comes last in the outbox, after everything that it erases.
func erase(ctx context.Context, tx pgx.Tx, event *events.Event) (Counts, error) {
	ctx, cancel := postgres.Patient(ctx)
	defer cancel()
	id := event.Erasure.UserID
	if err := uploads.AwaitImport(ctx, tx, id); err != nil { // or mail of theirs would come behind the order to erase
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
	if _, err := tx.Exec(ctx, lockMarks); err != nil {
		return nil, fmt.Errorf("lock marks: %w", err)
	}
	if _, err := tx.Exec(ctx, lockAddressMarks, addresses); err != nil {
		return nil, fmt.Errorf("lock marks of addresses: %w", err)
	}
	rows := Counts{}
	if err := rows.eraseOwned(ctx, tx, id, forever); err != nil {
		return nil, err
	}
	if made {
		rows["users"]--
	}
	if err := rows.eraseFolded(ctx, tx, id); err != nil {
		return nil, err
	}
	if err := rows.eraseLetters(ctx, tx, id); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, unmarkAddresses, addresses); err != nil {
		return nil, fmt.Errorf("take marks off addresses: %w", err)
	}
	event.Time, event.Erasure.RecordedAt = now, now
	return rows, outbox.Add(ctx, tx, event)
}

// eraseLetters empties the person's dead letters, and what of them waits in the outbox to be folded again.
func (c Counts) eraseLetters(ctx context.Context, tx pgx.Tx, id string) error {
	redriven, err := texts(ctx, tx, eraseLetters, id)
	if err != nil {
		return fmt.Errorf("erase dead letters: %w", err)
	}
	c["dead_letters"] = int64(len(redriven))
	if len(redriven) == 0 {
		return nil
	}
	voided, err := outbox.Void(ctx, tx, id, forever, redriven)
	c["outbox"] += voided
	return err
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

func (c Counts) eraseOwned(ctx context.Context, tx pgx.Tx, id string, until time.Time) error {
	tokens, err := auth.Erase(ctx, tx, id, until)
	if err != nil {
		return err
	}
	uploaded, err := uploads.Erase(ctx, tx, id, until)
	if err != nil {
		return err
	}
	watched, err := accounts.Erase(ctx, tx, id, until) // before the person, whose they are
	if err != nil {
		return err
	}
	c.add(watched)
	rows, err := actions.Erase(ctx, tx, id, until)
	if err != nil {
		return err
	}
	voided, err := outbox.Void(ctx, tx, id, until, nil)
	c.add(rows)
	c["tokens"], c["outbox"], c["uploads"] = tokens, voided, uploaded
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
	return Counts{}.eraseOwned(ctx, tx, id, until)
}
