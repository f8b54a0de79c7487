package warehouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// tryLock locks a source for as long as the connection lasts.
const tryLock = `SELECT pg_try_advisory_lock(hashtextextended('applylens warehouse ' || $1, 0))`

// createTemporary creates the temporary tables of a sync: the rows read, and their differences from the known state.
const createTemporary = `
CREATE TEMPORARY TABLE warehouse_read (
    system text COLLATE "C" NOT NULL, application_id text COLLATE "C" NOT NULL, addresses text[] NOT NULL, company text NOT NULL,
    stage text NOT NULL, last_stage_change timestamptz, interview_date timestamptz, synced_at timestamptz,
    removed boolean NOT NULL, broken boolean NOT NULL, content_hash bigint NOT NULL, filled smallint NOT NULL);
CREATE TEMPORARY TABLE warehouse_diff (
    ordinal bigint PRIMARY KEY, system text COLLATE "C" NOT NULL, application_id text COLLATE "C" NOT NULL, addresses text[] NOT NULL,
    company text NOT NULL, stage text NOT NULL, last_stage_change timestamptz, interview_date timestamptz,
    removed boolean NOT NULL, content_hash bigint NOT NULL, filled smallint NOT NULL,
    known boolean NOT NULL, emptied integer NOT NULL)`

// clearTemporary empties them.
const clearTemporary = `TRUNCATE warehouse_read, warehouse_diff`

// readColumns are the columns of warehouse_read.
var readColumns = []string{"system", "application_id", "addresses", "company", "stage", "last_stage_change", "interview_date", "synced_at",
	"removed", "broken", "content_hash", "filled"}

// noteTry records the start of a sync, and creates the source's row if necessary.
const noteTry = `
INSERT INTO warehouse_sources AS s (source, tried_at) VALUES ($1, $2)
ON CONFLICT (source) DO UPDATE SET tried_at = excluded.tried_at`

// selectState reads the state left by earlier syncs.
const selectState = `SELECT synced_at, full_at, cursor_at, accepted_at FROM warehouse_sources WHERE source = $1`

// claimSystems claims systems without an owner for the source, and returns those that another source owns.
const claimSystems = `
WITH claimed AS (
    INSERT INTO warehouse_systems (system, source)
    SELECT DISTINCT system, $1 FROM warehouse_read
    ON CONFLICT (system) DO NOTHING)
SELECT system, source FROM warehouse_systems
WHERE source <> $1 AND system IN (SELECT system FROM warehouse_read)
ORDER BY system`

// takeSystems makes the source the owner of the systems read that belong to the sources given.
const takeSystems = `
UPDATE warehouse_systems SET source = $1 WHERE source = ANY ($2) AND system IN (SELECT system FROM warehouse_read)`

// lockSystems locks out other sources until the transaction ends, and returns whether the source still owns all systems of
// the differences.
const lockSystems = `
WITH owned AS (SELECT system FROM warehouse_systems WHERE source = $1 ORDER BY system FOR NO KEY UPDATE)
SELECT NOT EXISTS (SELECT system FROM warehouse_diff EXCEPT SELECT system FROM owned)`

// addAbsent adds, after a full read, the known applications that were not read: they are removed.
const addAbsent = `
INSERT INTO warehouse_read (system, application_id, addresses, company, stage, removed, broken, content_hash, filled)
SELECT w.system, w.application_id, '{}', '', '', true, false, 0, 0
FROM warehouse_rows w
JOIN warehouse_systems s USING (system)
WHERE s.source = $1 AND NOT w.removed
  AND NOT EXISTS (SELECT FROM warehouse_read r WHERE r.system = w.system AND r.application_id = w.application_id)`

// analyzeRead updates the planner's statistics on the rows read.
const analyzeRead = `ANALYZE warehouse_read`

// fillDiff finds the differences between the rows read and the known state. Of several rows of an application the newest
// counts; broken rows are ignored.
const fillDiff = `
INSERT INTO warehouse_diff
SELECT row_number() OVER (ORDER BY system, application_id), system, application_id, r.addresses, r.company, r.stage,
       r.last_stage_change, r.interview_date, r.removed, r.content_hash, r.filled, w.removed IS FALSE,
       CASE WHEN w.removed IS FALSE AND NOT r.removed THEN w.filled & ~r.filled ELSE 0 END
FROM (SELECT DISTINCT ON (system, application_id) *
      FROM warehouse_read
      ORDER BY system, application_id, broken, synced_at DESC NULLS LAST, content_hash DESC) r
LEFT JOIN warehouse_rows w USING (system, application_id)
WHERE NOT r.broken
  AND CASE WHEN r.removed THEN w.removed IS FALSE
           ELSE w.removed IS NOT FALSE OR w.content_hash <> r.content_hash END`

// selectCounts counts the differences per system, together with those accepted since a time.
const selectCounts = `
SELECT system, COALESCE(w.live + w.removed, 0), d.added, d.changed + COALESCE(w.changed, 0), d.removed + COALESCE(w.removed, 0),
       ARRAY(SELECT (SELECT count(*) FROM warehouse_diff e WHERE e.system = d.system AND e.emptied & (1 << bit) <> 0)
             FROM generate_series(0, 8) bit)
FROM (SELECT system,
             count(*) FILTER (WHERE NOT known) AS added,
             count(*) FILTER (WHERE known AND NOT removed) AS changed,
             count(*) FILTER (WHERE removed) AS removed
      FROM warehouse_diff
      GROUP BY system) d
LEFT JOIN (SELECT system,
                  count(*) FILTER (WHERE NOT removed) AS live,
                  count(*) FILTER (WHERE removed AND changed_at > $1) AS removed,
                  count(*) FILTER (WHERE NOT removed AND changed_at > $1 AND added_at < changed_at) AS changed
           FROM warehouse_rows
           WHERE system IN (SELECT system FROM warehouse_diff)
           GROUP BY system) w USING (system)
ORDER BY system`

// selectKnown counts the applications of a source, for progress.
const selectKnown = `SELECT count(*) FROM warehouse_rows JOIN warehouse_systems s USING (system) WHERE s.source = $1 AND NOT removed`

// putChunk stores the states of a chunk of differences with their versions, and returns the applications to publish, in the
// order of the differences.
const putChunk = `
WITH chunk AS (SELECT * FROM warehouse_diff WHERE ordinal > $1 AND ordinal <= $2),
put AS (
    INSERT INTO warehouse_rows AS w (system, application_id, content_hash, filled, removed, src_version, added_at, changed_at)
    SELECT system, application_id, content_hash, filled, removed, $3, $4, $4 FROM chunk ORDER BY system, application_id
    ON CONFLICT (system, application_id) DO UPDATE SET
        content_hash = excluded.content_hash,
        filled       = excluded.filled,
        removed      = excluded.removed,
        src_version  = GREATEST(w.src_version + 1, excluded.src_version),
        added_at     = CASE WHEN w.removed THEN excluded.added_at ELSE w.added_at END,
        changed_at   = excluded.changed_at
    RETURNING system, application_id, src_version)
SELECT system, application_id, addresses, company, stage, last_stage_change, interview_date, removed, known, src_version
FROM chunk
JOIN put USING (system, application_id)
ORDER BY ordinal`

// finishSync records an accepted sync. The cursor is never in the future, where it would hide rows, and moves back only if an
// operator has accepted an older state.
const finishSync = `
UPDATE warehouse_sources
SET synced_at   = $2,
    full_at     = CASE WHEN $3 THEN $2 ELSE full_at END,
    cursor_at   = GREATEST(CASE WHEN NOT $5 THEN cursor_at END, LEAST($4::timestamptz, $2)),
    newest_at   = GREATEST(newest_at, $4::timestamptz),
    accepted_at = CASE WHEN $5 THEN $2 ELSE accepted_at END,
    error = '', held_at = NULL, held_reason = '', held_detail = ''
WHERE source = $1`

// holdSync records that a sync is held. It keeps the time since which syncs are held.
const holdSync = `
UPDATE warehouse_sources
SET held_at = COALESCE(held_at, $2), held_reason = $3, held_detail = $4, error = '', newest_at = GREATEST(newest_at, $5::timestamptz)
WHERE source = $1`

// failSync records why a sync failed.
const failSync = `UPDATE warehouse_sources SET error = $2 WHERE source = $1`

// selectPositions reads the positions in a change topic.
const selectPositions = `SELECT partition, cluster_id, topic_id, next_offset FROM warehouse_positions WHERE source = $1`

// deletePositions deletes them, so that the topic is read from its start.
const deletePositions = `DELETE FROM warehouse_positions WHERE source = $1`

// putPosition advances a position by a compare-and-set.
const putPosition = `
INSERT INTO warehouse_positions AS p (source, partition, cluster_id, topic_id, next_offset)
VALUES ($1, $2, $3, $4, $6)
ON CONFLICT (source, partition) DO UPDATE SET next_offset = excluded.next_offset
WHERE p.cluster_id = excluded.cluster_id AND p.topic_id = excluded.topic_id AND p.next_offset = $5`

// insertAudit records who accepted a held sync.
const insertAudit = `
INSERT INTO warehouse_audit (actor, reason, source, held_reason, held_detail, differences)
VALUES ($1, $2, $3, $4, $5, $6)`

// selectStages counts the applications read, by system and stage.
const selectStages = `
SELECT system, stage, count(*)
FROM (SELECT DISTINCT ON (system, application_id) system, stage, removed, broken
      FROM warehouse_read
      ORDER BY system, application_id, broken, synced_at DESC NULLS LAST, content_hash DESC) r
WHERE NOT removed AND NOT broken
GROUP BY system, stage
ORDER BY count(*) DESC, system, stage`

// selectRepeated counts the rows in excess of one per application.
const selectRepeated = `SELECT count(*) - count(DISTINCT (system, application_id)) FROM warehouse_read`

// selectPending counts differences that the group enrichment has not folded yet.
const selectPending = `
SELECT count(*)
FROM warehouse_diff d
JOIN warehouse_rows w USING (system, application_id)
LEFT JOIN live_applications a USING (system, application_id)
WHERE a.src_version IS NULL OR a.src_version < w.src_version`

// selectEnriched counts the mails matched with an application of the differences.
const selectEnriched = `
SELECT count(DISTINCT mail_id) FROM live_ats JOIN warehouse_diff d USING (system, application_id) WHERE NOT d.removed`

// state is the state of a source before a sync; zero times are unknown.
type state struct{ synced, full, cursor, accepted time.Time }

func readState(ctx context.Context, conn *pgx.Conn, source string) (state, error) {
	var s state
	err := conn.QueryRow(ctx, selectState, source).Scan(&zeroNull{&s.synced}, &zeroNull{&s.full}, &zeroNull{&s.cursor}, &zeroNull{&s.accepted})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return state{}, fmt.Errorf("read the state of the source: %w", err)
	}
	return s, nil
}

// zeroNull scans a time, and null as the zero time.
type zeroNull struct{ to *time.Time }

// Scan implements sql.Scanner.
func (z *zeroNull) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*z.to = time.Time{}
	case time.Time:
		*z.to = v.UTC()
	default:
		return fmt.Errorf("%T instead of a time", value)
	}
	return nil
}

// nullZero is the inverse of zeroNull, for arguments.
func nullZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// others lists the systems read that another source owns, for people, and these sources.
func others(ctx context.Context, conn *pgx.Conn, source string) (list, owners []string, err error) {
	rows, err := conn.Query(ctx, claimSystems, source)
	if err != nil {
		return nil, nil, fmt.Errorf("claim systems: %w", err)
	}
	var system, owner string
	_, err = pgx.ForEachRow(rows, []any{&system, &owner}, func() error {
		list = append(list, fmt.Sprintf("%s belongs to the source %s", shorten(system), owner))
		owners = append(owners, owner)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("claim systems: %w", err)
	}
	return list, owners, nil
}

// countSystems counts the differences, including those accepted since a time.
func countSystems(ctx context.Context, conn *pgx.Conn, since time.Time) ([]systemCounts, error) {
	rows, err := conn.Query(ctx, selectCounts, since)
	if err != nil {
		return nil, fmt.Errorf("count differences: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c systemCounts, err error) {
		var emptied []int64
		if err := row.Scan(&c.system, &c.known, &c.added, &c.changed, &c.removed, &emptied); err != nil {
			return c, err
		}
		copy(c.emptied[:], emptied)
		c.bare = c.emptied[columnAddresses]
		return c, nil
	})
	if err != nil {
		return nil, fmt.Errorf("count differences: %w", err)
	}
	return list, nil
}

// difference is an application to publish, at a version.
type difference struct {
	application
	known   bool // published before, and not removed since
	version int64
}

func scanDifference(row pgx.CollectableRow) (d difference, err error) {
	err = row.Scan(&d.system, &d.id, &d.addresses, &d.company, &d.stage, &zeroNull{&d.lastStageChange}, &zeroNull{&d.interviewDate},
		&d.removed, &d.known, &d.version)
	return d, err
}
