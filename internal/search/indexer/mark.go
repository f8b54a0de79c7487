package indexer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

const (
	// lockAddresses takes the oldest marks of addresses; who changes one waits until it is turned.
	lockAddresses = `
SELECT ctid::text, address, company, marked_at FROM dirty_addresses ORDER BY marked_at LIMIT $1 FOR UPDATE SKIP LOCKED`

	// touch marks the mails that marked addresses touch, as of the earliest of those marks. Where the address is the
	// person's own, these are the mails of the marked company, and for '*' of every company where an application has
	// that address; elsewhere, those with that correspondent. '*' takes in those too, whether or not an application has
	// the address now: one that has just lost it was theirs. The subquery with OFFSET 0 finds mail by its keys, however wrong
	// the statistics are. It does not use live_mails: without statistics the primary key looks cheaper for the version, and
	// "version + 0" rules it out.
	touch = `
WITH marks AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[]) AS x(address, company)
), own AS MATERIALIZED (
    SELECT x.address, x.company, o.user_id FROM marks x
    JOIN live_mail_addresses o ON address_key(o.address) = x.address
    UNION
    SELECT x.address, x.company, o.user_id FROM marks x JOIN own_addresses o ON o.address = x.address
), keys AS (
    SELECT user_id, company AS key FROM own WHERE company NOT IN ('', '*')
    UNION
    SELECT o.user_id, k.company FROM own o
    JOIN live_application_keys k ON k.address = o.address AND k.company <> ''
    WHERE o.company = '*'
    UNION
    SELECT c.user_id, c.address FROM marks x
    JOIN live_mail_correspondents c ON c.address = x.address
    WHERE CASE x.company
        WHEN ''  THEN NOT EXISTS (SELECT FROM own o WHERE o.user_id = c.user_id AND o.address = c.address)
        WHEN '*' THEN EXISTS (SELECT FROM own o WHERE o.user_id = c.user_id AND o.address = c.address)
        ELSE false END
)
INSERT INTO dirty_mails AS d (mail_id, marked_at)
SELECT DISTINCT m.id, $3::timestamptz FROM keys
CROSS JOIN LATERAL (
    SELECT id FROM mails
    WHERE version + 0 = (SELECT live_version FROM projections WHERE group_name = 'mailbox')
      AND match_keys(user_id, parties || companies) @> match_keys(keys.user_id, ARRAY[keys.key]) OFFSET 0
) m
ORDER BY m.id
ON CONFLICT (mail_id) DO UPDATE SET generation = excluded.generation, marked_at = LEAST(d.marked_at, excluded.marked_at),
    backfill = false, not_before = '-infinity'`

	// deleteAddresses takes away marks that are locked, by where they are.
	deleteAddresses = `
DELETE FROM dirty_addresses WHERE ctid = ANY ($1::text[]::tid[])`

	// lockVersion takes one version of the mailbox whose mails are all to be marked, from some id on.
	lockVersion = `
SELECT version, after, marked_at FROM dirty_versions ORDER BY version LIMIT 1 FOR UPDATE SKIP LOCKED`

	// markNext marks the next mails of a version, to be read when nothing else is marked.
	markNext = `
INSERT INTO dirty_mails AS d (mail_id, marked_at, backfill)
SELECT id, $3, true FROM mails WHERE version = $1 AND id > $2 ORDER BY id LIMIT $4
ON CONFLICT (mail_id) DO UPDATE SET generation = excluded.generation, marked_at = LEAST(d.marked_at, excluded.marked_at)
RETURNING mail_id`

	// passVersion notes how far a version was marked.
	passVersion = `
UPDATE dirty_versions SET after = $2 WHERE version = $1`

	// endVersion notes that a version was marked to its end.
	endVersion = `
DELETE FROM dirty_versions WHERE version = $1`

	// countBackfill tells how many marks wait that only a version made, up to a number.
	countBackfill = `
SELECT count(*) FROM (SELECT FROM dirty_mails WHERE backfill LIMIT $1) AS waiting`

	// markAged marks the keys of applications that came to the age of 14, 15, 16 or 17 days since they were last looked
	// for: then their risk grows. The ages are days of 24 hours, as in ghosting_risk.
	markAged = `
WITH due AS (
    SELECT a.system, a.application_id, a.version
    FROM index_ageing g, unnest('{14,15,16,17}'::integer[]) AS days
    CROSS JOIN LATERAL (
        SELECT system, application_id, version FROM live_applications
        WHERE interview_date IS NULL AND NOT removed
          AND last_stage_change >  g.aged_until - days * interval '24 hours'
          AND last_stage_change <= $1::timestamptz - days * interval '24 hours' OFFSET 0
    ) a
)
SELECT mark_addresses(array_agg(k.address), array_agg(k.company)), count(*)
FROM due JOIN application_keys k ON k.version = due.version AND k.system = due.system AND k.application_id = due.application_id`

	// lockAgeing lets one process after the other look.
	lockAgeing = `
SELECT FROM index_ageing FOR UPDATE`

	// passAgeing notes until when was looked: when something was found, and otherwise now and then.
	passAgeing = `
UPDATE index_ageing SET aged_until = $1 WHERE aged_until < $1 AND ($2 OR aged_until < $1 - interval '1 minute')`
)

// The numbers of marks that are turned in one transaction.
const (
	addressesAtOnce = 2000
	backfillAtOnce  = 10_000
)

// turnAddresses turns marks of addresses into marks of mails, in a transaction of its own, and tells how many.
func (x *indexer) turnAddresses(ctx context.Context) (turned int, err error) {
	err = x.transact(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, lockAddresses, addressesAtOnce)
		if err != nil {
			return err
		}
		var places, addresses, companies []string
		var place, address, company string
		var marked, earliest time.Time
		_, err = pgx.ForEachRow(rows, []any{&place, &address, &company, &marked}, func() error {
			places, addresses, companies = append(places, place), append(addresses, address), append(companies, company)
			if earliest.IsZero() {
				earliest = marked
			}
			return nil
		})
		if turned = len(addresses); err != nil || turned == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, touch, addresses, companies, earliest); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, deleteAddresses, places)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("turn marks of addresses: %w", err)
	}
	return turned, nil
}

// turnVersions marks the next mails of a version that is to be read as a whole, unless enough of them wait, and tells
// whether it did.
func (x *indexer) turnVersions(ctx context.Context) (turned bool, err error) {
	err = x.transact(ctx, func(tx pgx.Tx) error {
		var waiting, version int
		if err := tx.QueryRow(ctx, countBackfill, backfillAtOnce).Scan(&waiting); err != nil || waiting >= backfillAtOnce {
			return err
		}
		var after pgtype.UUID
		var marked time.Time
		err := tx.QueryRow(ctx, lockVersion).Scan(&version, &after, &marked)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, markNext, version, after, marked, backfillAtOnce)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
		if err != nil {
			return err
		}
		turned = true
		if len(ids) < backfillAtOnce {
			_, err = tx.Exec(ctx, endVersion, version)
		} else {
			last := slices.MaxFunc(ids, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
			_, err = tx.Exec(ctx, passVersion, version, last)
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("mark a version: %w", err)
	}
	return turned, nil
}

// age marks what has grown old by the clock, and tells whether anything has.
func (x *indexer) age(ctx context.Context) (aged bool, err error) {
	err = x.transact(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockAgeing); err != nil {
			return err
		}
		now := x.Now().UTC() // under the lock, so that nobody who looked at the clock before passes who looked after
		var count int
		if err := tx.QueryRow(ctx, markAged, now).Scan(nil, &count); err != nil {
			return err
		}
		aged = count > 0
		_, err := tx.Exec(ctx, passAgeing, now, aged)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("mark what has aged: %w", err)
	}
	return aged, nil
}
