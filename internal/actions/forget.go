package actions

import (
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// addForget counts that the person forgets once more: one feature or, for the empty text, all of them. Decisions before it
// have a lower count. An event counts once, however often the log tells it: counted again, it would seem to come after
// decisions that it came before.
const addForget = `
WITH counted AS (
    UPDATE users SET forgets = forgets + 1
    WHERE id = $1 AND NOT EXISTS (SELECT FROM forgotten_features WHERE user_id = $1 AND event_id = $3)
    RETURNING forgets)` + keepForget

// addKnownForget does so, for an event that is new, if there is anything to forget, now or once all events of the person are
// folded: a weight, a decision, or a feature that was pinned or forgotten before.
const addKnownForget = `
WITH counted AS (
    UPDATE users SET forgets = forgets + 1
    WHERE id = $1
      AND (EXISTS (SELECT FROM user_weights WHERE user_id = $1 AND (feature = $2 OR $2 = ''))
           OR EXISTS (SELECT FROM forgotten_features WHERE user_id = $1 AND (feature = $2 OR $2 = ''))
           OR EXISTS (SELECT FROM actions WHERE user_id = $1 AND status IN ('approved', 'rejected') AND ($2 = ANY (features) OR $2 = '')))
    RETURNING forgets)` + keepForget

const keepForget = `
INSERT INTO forgotten_features (user_id, feature, event_id, forget)
SELECT $1, $2, $3, forgets FROM counted
RETURNING clock_timestamp()`

// addPin remembers a feature that the person pinned: it can be forgotten before the pin is folded. 0 is before every decision. A
// feature needs this once, whatever event told of it.
const addPin = `
WITH pinned AS (
    INSERT INTO forgotten_features (user_id, feature, event_id, forget) VALUES ($1, $2, 'pin ' || $2, 0) ON CONFLICT DO NOTHING)
SELECT clock_timestamp()`

// Everything is the feature that stands for all of them: what a reset forgets.
const Everything = ""

// Forget records that the person forgets a feature, or Everything, after the decisions so far and before the next. It
// stores the time in at; if the person never had anything of it, nothing is recorded and at is zero. event is the id of the event
// that tells of it, which must be new.
func Forget(b *pgx.Batch, user, feature, event string, at *time.Time) {
	b.Queue(addKnownForget, user, feature, event).QueryRow(func(row pgx.Row) error {
		*at = time.Time{}
		if err := row.Scan(at); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("forget: %w", err)
		}
		return nil
	})
}

// Pin records that the person pins a feature, and stores the time in at.
func Pin(b *pgx.Batch, user, feature string, at *time.Time) {
	b.Queue(addPin, user, feature).QueryRow(func(row pgx.Row) error { return row.Scan(at) })
}
