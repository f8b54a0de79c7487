package rebuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/retry"
)

// Comparison is what two versions of a projection hold at one vector of positions.
type Comparison struct {
	Group       string            `json:"group"`
	LiveVersion int               `json:"live_version"`
	Version     int               `json:"version"`
	Positions   map[int]int64     `json:"positions"` // at which both were read, by partition
	Tables      []TableComparison `json:"tables"`
}

// TableComparison compares one table. The digests are SHA-256 over the rows in the order of their text.
type TableComparison struct {
	Table      string       `json:"table"`
	LiveRows   int64        `json:"live_rows"`
	Rows       int64        `json:"rows"`
	LiveDigest string       `json:"live_digest"`
	Digest     string       `json:"digest"`
	OnlyLive   int64        `json:"only_live"` // rows of the live version that the other has not, or has differently
	OnlyOther  int64        `json:"only_other"`
	Samples    []Difference `json:"samples,omitempty"` // the first few
}

// Difference is a row that one version has and the other has not.
type Difference struct {
	Live bool   `json:"live"`
	Row  string `json:"row"`
}

// Equal tells whether all tables hold the same rows.
func (c *Comparison) Equal() bool {
	for _, table := range c.Tables {
		if table.LiveDigest != table.Digest {
			return false
		}
	}
	return true
}

// liveAhead is how long to wait for a live version that is behind the one that is being built.
const liveAhead = 200 * time.Millisecond

// maxSamples bounds the differing rows that are shown of a table.
const maxSamples = 10

// Compare holds the version that is being built against the live one at exactly the same positions: it takes a
// snapshot of the live version, folds the other up to the positions of that snapshot, and reads both. The live version
// goes on meanwhile. Another process that builds the version loses it to this one.
func Compare(ctx context.Context, cfg consumers.Config) (*Comparison, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = forRebuild(cfg)
	building, found, err := ledger.Building(ctx, cfg.Pool, cfg.Group.Name)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("no version of %s is being built: applylens rebuild run %s makes one", cfg.Group.Name, cfg.Group.Name)
	}
	for {
		result, err := compareOnce(ctx, &cfg, building.Version)
		if result != nil || err != nil {
			return result, err
		}
		// The version is ahead of the live one, which has to catch up first.
		if err := retry.Wait(ctx, liveAhead); err != nil {
			return nil, err
		}
	}
}

// compareOnce returns nil when the version is ahead of the live one in a partition.
func compareOnce(ctx context.Context, cfg *consumers.Config, version int) (*Comparison, error) {
	snapshot, err := cfg.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin snapshot: %w", err)
	}
	defer snapshot.Rollback(ctx) //nolint:errcheck // it only read
	if err := patient(ctx, snapshot); err != nil {
		return nil, err
	}
	live, _, err := ledger.LiveVersion(ctx, snapshot, cfg.Group.Name)
	if err != nil {
		return nil, err
	}
	vector, err := ledger.NextOffsets(ctx, snapshot, cfg.Group.Name, live)
	if err != nil {
		return nil, err
	}
	own, err := ledger.NextOffsets(ctx, cfg.Pool, cfg.Group.Name, version)
	if err != nil {
		return nil, err
	}
	for partition, next := range own {
		if next > vector[partition] {
			return nil, nil
		}
	}
	if err := consumers.Fold(ctx, *cfg, version, slices.Sorted(maps.Keys(vector)), vector, 1); err != nil {
		return nil, err
	}
	result := &Comparison{Group: cfg.Group.Name, LiveVersion: live, Version: version, Positions: vector}
	for _, table := range cfg.Group.Tables {
		compared, err := compareTable(ctx, cfg, snapshot, table, live, version)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", table, err)
		}
		result.Tables = append(result.Tables, *compared)
	}
	return result, nil
}

// patient lets a transaction live as long as a comparison takes.
func patient(ctx context.Context, tx pgx.Tx) error {
	for _, statement := range []string{"SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0"} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("begin snapshot: %w", err)
		}
	}
	return nil
}

func compareTable(ctx context.Context, cfg *consumers.Config, snapshot pgx.Tx, table string, live, version int) (*TableComparison, error) {
	other, err := cfg.Pool.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer other.Rollback(ctx) //nolint:errcheck // it only read
	if err := patient(ctx, other); err != nil {
		return nil, err
	}
	left, err := openRows(ctx, snapshot, table, live)
	if err != nil {
		return nil, err
	}
	defer left.rows.Close()
	right, err := openRows(ctx, other, table, version)
	if err != nil {
		return nil, err
	}
	defer right.rows.Close()
	result := &TableComparison{Table: table}
	if err := mergeRows(left, right, result); err != nil {
		return nil, err
	}
	result.LiveRows, result.Rows = left.count, right.count
	result.LiveDigest, result.Digest = left.digest(), right.digest()
	return result, nil
}

// mergeRows walks two sorted sequences side by side.
func mergeRows(left, right *sortedRows, result *TableComparison) error {
	hasLeft, hasRight := left.next(), right.next()
	for hasLeft || hasRight {
		switch {
		case hasLeft && (!hasRight || left.text < right.text):
			result.OnlyLive++
			result.sample(true, left.text)
			hasLeft = left.next()
		case hasRight && (!hasLeft || right.text < left.text):
			result.OnlyOther++
			result.sample(false, right.text)
			hasRight = right.next()
		default:
			hasLeft, hasRight = left.next(), right.next()
		}
	}
	if left.err != nil {
		return left.err
	}
	return right.err
}

func (t *TableComparison) sample(live bool, row string) {
	if len(t.Samples) < maxSamples {
		t.Samples = append(t.Samples, Difference{live, row})
	}
}

// sortedRows reads the rows of one version as text, in bytewise order.
type sortedRows struct {
	rows  pgx.Rows
	text  string
	count int64
	sum   hash.Hash
	err   error
}

func openRows(ctx context.Context, tx pgx.Tx, table string, version int) (*sortedRows, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf(`SELECT (to_jsonb(t) - 'version')::text COLLATE "C" AS line FROM %s t WHERE version = $1 ORDER BY line`, pgx.Identifier{table}.Sanitize()), version)
	if err != nil {
		return nil, err
	}
	return &sortedRows{rows: rows, sum: sha256.New()}, nil
}

func (s *sortedRows) next() bool {
	if !s.rows.Next() {
		s.err = s.rows.Err()
		return false
	}
	if s.err = s.rows.Scan(&s.text); s.err != nil {
		return false
	}
	s.count++
	s.sum.Write([]byte(s.text))
	s.sum.Write([]byte{'\n'})
	return true
}

func (s *sortedRows) digest() string { return hex.EncodeToString(s.sum.Sum(nil)) }
