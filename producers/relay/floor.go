package relay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// selectFloorsSQL reads what raiseFloorsSQL stored in this term or an earlier one.
	selectFloorsSQL = `SELECT coalesce(max(sequenced_to), 0), coalesce(max(published_to), 0) FROM relays`

	// selectDrawnSQL reads the greatest seq that any transaction has drawn so far.
	selectDrawnSQL = `SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('outbox', 'seq')::regclass), 0)`

	// selectWritersSQL lists the transactions that write to the outbox. Whoever draws a seq is among them from before that until
	// the end, since an INSERT locks its table first.
	selectWritersSQL = `
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'outbox'::regclass AND mode = 'RowExclusiveLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid IS DISTINCT FROM pg_backend_pid()`

	// raiseFloorsSQL raises the floors to a seq that no transaction can add a row at or below any more, or to just below the
	// first row that still waits.
	raiseFloorsSQL = `
UPDATE relays
SET sequenced_to = least($2, (
        SELECT seq - 1 FROM outbox WHERE published_at IS NULL AND relay_id IS NULL AND seq > $3 ORDER BY seq LIMIT 1)),
    published_to = least($2, (
        SELECT seq - 1 FROM outbox WHERE published_at IS NULL AND seq > $4 ORDER BY seq LIMIT 1))
WHERE relay_id = $1
RETURNING sequenced_to, published_to`

	// lowerFloorSQL is for rows that are no longer published.
	lowerFloorSQL = `UPDATE relays SET published_to = 0 WHERE published_to > 0`
)

// When floors are raised.
const (
	floorRows  = 2000 // published rows after which it is worth while
	floorEvery = time.Second
)

// floors are where the search for waiting rows begins: at and below sequenced every row has a sequence, at and below
// published every row is published, and no transaction can add another one there. While a snapshot is held for long, as by a
// backup, the index of waiting rows keeps an entry for every row that waited since. Without floors all of them would be
// passed over each time.
//
// seq alone is no such bound: a transaction that drew a low one may commit late. So the floors rise only to a seq that was
// drawn before a moment, and once all transactions that wrote at that moment have ended.
type floors struct {
	sequenced, published int64

	sent    int      // rows published since the floors rose
	drawn   int64    // what they may rise to when writers have ended; 0: not known
	writers []string // as of after drawn
	tried   time.Time
}

func readFloors(ctx context.Context, conn *pgx.Conn) (f floors, err error) {
	if err := conn.QueryRow(ctx, selectFloorsSQL).Scan(&f.sequenced, &f.published); err != nil {
		return floors{}, fmt.Errorf("read how far the outbox is published: %w", err)
	}
	return f, nil
}

// raiseFloors raises the floors now and then, when enough was published.
func (t *term) raiseFloors(ctx context.Context) error {
	f := &t.floors
	if f.sent < floorRows || time.Since(f.tried) < floorEvery {
		return nil
	}
	f.tried = time.Now()
	if f.drawn == 0 {
		if err := t.conn.QueryRow(ctx, selectDrawnSQL).Scan(&f.drawn); err != nil {
			return fmt.Errorf("read the last seq of the outbox: %w", err)
		}
		writers, err := t.writers(ctx) // only now: whoever drew a seq up to drawn is among them, or has ended
		if err != nil {
			return err
		}
		f.writers = writers
	}
	if len(f.writers) > 0 {
		writers, err := t.writers(ctx)
		if err != nil || overlap(writers, f.writers) {
			return err
		}
	}
	err := t.conn.QueryRow(ctx, raiseFloorsSQL, [16]byte(t.id), f.drawn, f.sequenced, f.published).Scan(&f.sequenced, &f.published)
	if err != nil {
		return fmt.Errorf("store how far the outbox is published: %w", err)
	}
	f.sent, f.drawn, f.writers = 0, 0, nil
	return nil
}

func (t *term) writers(ctx context.Context) ([]string, error) {
	rows, err := t.conn.Query(ctx, selectWritersSQL)
	if err != nil {
		return nil, fmt.Errorf("list who writes to the outbox: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list who writes to the outbox: %w", err)
	}
	return list, nil
}

// overlap tells whether two lists have something in common.
func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(one string) bool { return slices.Contains(b, one) })
}
