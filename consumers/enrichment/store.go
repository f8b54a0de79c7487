package enrichment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/internal/postgres"
)

// newer are the states that put is about to write. What begins so comes before put in the same transaction, since put
// overwrites what it compares with.
const newer = `
FROM jsonb_to_recordset($2::jsonb) AS x(
    system text, application_id text, addresses text[], company text, stage text, last_stage_change timestamptz,
    interview_date timestamptz, src_version bigint, removed boolean, keys jsonb)
LEFT JOIN applications t ON t.version = $1 AND t.system = x.system AND t.application_id = x.application_id
WHERE (t.version IS NULL OR x.src_version > t.src_version)`

// markAddresses marks the keys that an application had and has, where more than its version changes.
const markAddresses = `
WITH changed AS (
    SELECT x.system, x.application_id, x.keys` + newer + `
        AND (x.addresses, x.company, x.stage, x.last_stage_change, x.interview_date, x.removed)
            IS DISTINCT FROM (t.addresses, t.company, t.stage, t.last_stage_change, t.interview_date, t.removed)
), touched AS (
    SELECT k.address, k.company FROM changed c
    JOIN application_keys k ON k.version = $1 AND k.system = c.system AND k.application_id = c.application_id
    UNION
    SELECT k.address, k.company FROM changed c, jsonb_to_recordset(c.keys) AS k(address text, company text)
)
SELECT mark_addresses(array_agg(address), array_agg(company)) FROM touched`

// dropKeys removes the keys that an application no longer has.
const dropKeys = `
WITH changed AS (SELECT x.system, x.application_id, x.keys` + newer + `)
DELETE FROM application_keys k USING changed c
WHERE k.version = $1 AND k.system = c.system AND k.application_id = c.application_id
  AND NOT EXISTS (SELECT FROM jsonb_to_recordset(c.keys) AS n(address text, company text)
                  WHERE n.address = k.address AND n.company = k.company)`

// putKeys adds the keys that an application has.
const putKeys = `
WITH changed AS (SELECT x.system, x.application_id, x.keys` + newer + `)
INSERT INTO application_keys AS t (version, address, company, system, application_id, whole)
SELECT $1, k.address, k.company, c.system, c.application_id, k.whole
FROM changed c, jsonb_to_recordset(c.keys) AS k(address text, company text, whole boolean)
ON CONFLICT (address, company, system, application_id, version) DO UPDATE SET whole = excluded.whole
WHERE t.whole <> excluded.whole`

// put writes the states that are newer than those of a version, in the order given. Keys are unique within a
// statement.
const put = `
INSERT INTO applications AS t (version, system, application_id, addresses, company, stage, last_stage_change,
    interview_date, src_version, removed, updated_at)
SELECT $1, x.system, x.application_id, x.addresses, x.company, x.stage, x.last_stage_change,
    x.interview_date, x.src_version, x.removed, x.updated_at
FROM jsonb_to_recordset($2::jsonb) AS x(
    system text, application_id text, addresses text[], company text, stage text, last_stage_change timestamptz,
    interview_date timestamptz, src_version bigint, removed boolean, updated_at timestamptz)
ON CONFLICT (system, application_id, version) DO UPDATE SET
    addresses         = excluded.addresses,
    company           = excluded.company,
    stage             = excluded.stage,
    last_stage_change = excluded.last_stage_change,
    interview_date    = excluded.interview_date,
    src_version       = excluded.src_version,
    removed           = excluded.removed,
    updated_at        = excluded.updated_at
WHERE excluded.src_version > t.src_version`

// maxRows bounds the rows of one statement, and with them the memory of both sides.
const maxRows = 50_000

// row is an application as the statements above read it.
type row struct {
	System          string     `json:"system"`
	ApplicationID   string     `json:"application_id"`
	Addresses       []string   `json:"addresses"`
	Company         string     `json:"company"`
	Stage           string     `json:"stage"`
	LastStageChange *time.Time `json:"last_stage_change"`
	InterviewDate   *time.Time `json:"interview_date"`
	SrcVersion      int64      `json:"src_version"`
	Removed         bool       `json:"removed"`
	UpdatedAt       *time.Time `json:"updated_at"`
	Keys            []match    `json:"keys"`
}

func newRow(at key, s state) row {
	return row{
		System: at.system, ApplicationID: at.applicationID, Addresses: s.addresses,
		Company: s.company, Stage: s.stage,
		LastStageChange: moment(s.lastStageChange), InterviewDate: moment(s.interviewDate),
		SrcVersion: s.srcVersion, Removed: s.removed, UpdatedAt: moment(s.recordedAt),
		Keys: s.matches(),
	}
}

// moment returns a time in the precision of the database, nil for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Microsecond)
	return &t
}

// write puts changes into a version within tx, and marks their addresses unless the version is a shadow.
func write(ctx context.Context, tx *postgres.Tx, version consumers.Version, changes *Changes) error {
	rows := make([]row, 0, maxRows)
	for part := range slices.Chunk(changes.sorted(), maxRows) {
		rows = rows[:0]
		for _, at := range part {
			rows = append(rows, newRow(at, changes.newest[at]))
		}
		text, err := json.Marshal(rows)
		if err != nil {
			return fmt.Errorf("encode applications: %w", err)
		}
		if err := writeRows(ctx, tx, version, text); err != nil {
			return err
		}
	}
	return nil
}

func writeRows(ctx context.Context, tx *postgres.Tx, version consumers.Version, rows []byte) error {
	if !version.Shadow {
		if _, err := tx.Exec(ctx, markAddresses, version.Number, rows); err != nil {
			return fmt.Errorf("mark addresses: %w", err)
		}
	}
	for _, step := range []struct{ what, statement string }{
		{"drop keys", dropKeys}, {"put keys", putKeys}, {"put applications", put},
	} {
		if _, err := tx.Exec(ctx, step.statement, version.Number, rows); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}
