package enrichment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/consumers"
)

// markAddresses marks, in key order, the addresses that an application had and has, where what put is about to write
// changes more than the version. It comes before put in the same transaction, since it reads what put overwrites.
const markAddresses = `
WITH changed AS (
    SELECT COALESCE(t.addresses, '{}') || x.addresses AS addresses
    FROM jsonb_to_recordset($2::jsonb) AS x(
        system text, application_id text, addresses text[], company text, stage text,
        last_stage_change timestamptz, interview_date timestamptz, src_version bigint, removed boolean)
    LEFT JOIN applications t
        ON t.version = $1 AND t.system = x.system AND t.application_id = x.application_id
    WHERE t.version IS NULL OR x.src_version > t.src_version
        AND (x.addresses, x.company, x.stage, x.last_stage_change, x.interview_date, x.removed)
            IS DISTINCT FROM (t.addresses, t.company, t.stage, t.last_stage_change, t.interview_date, t.removed)
)
INSERT INTO dirty_addresses AS d (address)
SELECT DISTINCT address FROM changed, unnest(addresses) AS address ORDER BY address
ON CONFLICT (address) DO UPDATE SET generation = d.generation + 1`

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
}

func newRow(at key, s state) row {
	return row{
		System: at.system, ApplicationID: at.applicationID, Addresses: s.addresses,
		Company: s.company, Stage: s.stage,
		LastStageChange: moment(s.lastStageChange), InterviewDate: moment(s.interviewDate),
		SrcVersion: s.srcVersion, Removed: s.removed, UpdatedAt: moment(s.recordedAt),
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
func write(ctx context.Context, tx pgx.Tx, version consumers.Version, changes *Changes) error {
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

func writeRows(ctx context.Context, tx pgx.Tx, version consumers.Version, rows []byte) error {
	if !version.Shadow {
		if _, err := tx.Exec(ctx, markAddresses, version.Number, rows); err != nil {
			return fmt.Errorf("mark addresses: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, put, version.Number, rows); err != nil {
		return fmt.Errorf("put applications: %w", err)
	}
	return nil
}
