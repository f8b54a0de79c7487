package rebuild

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/postgres"
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

// TableComparison compares one table. Versions with the same rows have the same digest (digest.go).
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

// seizeAgain is how long to wait for a process whose partitions were taken.
const seizeAgain = 100 * time.Millisecond

// Compare holds the version that is being built against the live one at exactly the same positions. It first brings that
// version to where the live one is, so that little is left to fold while a snapshot is open. Then it takes a snapshot of
// the live version, folds the other up to the positions of that snapshot, and reads both. The live version goes on
// meanwhile; processes that build the version wait.
func Compare(ctx context.Context, cfg consumers.Config) (*Comparison, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	building, err := findBuilding(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	m, err := join(ctx, &cfg, building.Version, false)
	if err != nil {
		return nil, err
	}
	defer m.leases.Close()
	if err := m.catchUp(ctx, m.livePositions); err != nil {
		return nil, err
	}
	if err := m.seize(ctx); err != nil {
		return nil, err
	}
	for {
		result, err := m.compareOnce(ctx)
		if result != nil || err != nil {
			return result, err
		}
		// The version is ahead of the live one, which has to catch up first.
		if err := retry.Wait(ctx, liveAhead); err != nil {
			return nil, err
		}
	}
}

// livePositions are a destination, of the partitions that can be read. The error is about those in which something is left to
// be folded but cannot be read.
func (m *member) livePositions(ctx context.Context) (map[int]int64, error) {
	live, _, err := ledger.LiveVersion(ctx, m.cfg.Pool, m.cfg.Group.Name)
	if err != nil {
		return nil, err
	}
	to, err := ledger.NextOffsets(ctx, m.cfg.Pool, m.cfg.Group.Name, live)
	if err != nil {
		return nil, err
	}
	own, err := ledger.NextOffsets(ctx, m.cfg.Pool, m.cfg.Group.Name, m.version)
	if err != nil {
		return nil, err
	}
	ends, fault := m.logEnds(ctx)
	left, unread := behind(own, to), false
	for p := range to {
		if _, ok := ends[p]; !ok {
			_, lacks := left[p]
			unread = unread || lacks
			delete(to, p)
		}
	}
	if !unread {
		return to, nil
	}
	return to, fault
}

// behind returns the offsets that a version has not reached.
func behind(own, to map[int]int64) map[int]int64 {
	left := map[int]int64{}
	for p, end := range to {
		if own[p] < end {
			left[p] = end
		}
	}
	return left
}

// seize leases all partitions and takes those that others hold away from them. Another comparison goes on to its end.
func (m *member) seize(ctx context.Context) error {
	topic, err := m.cfg.Broker.DescribeTopic(ctx, m.cfg.Broker.Topic(m.cfg.Group.Topic))
	if err != nil {
		return err
	}
	wanted := make([]int, topic.Partitions)
	for p := range wanted {
		wanted[p] = p
	}
	comparing := false
	for {
		if comparing, err = m.leases.Try(ctx, ledger.Comparing); err != nil {
			return err
		}
		if comparing {
			break
		}
		if err := retry.Wait(ctx, lookAgain); err != nil {
			return err
		}
	}
	for {
		if wanted, err = m.leaseFree(ctx, wanted); err != nil || len(wanted) == 0 {
			return err
		}
		if err := ledger.Fence(ctx, m.cfg.Pool, m.cfg.Group.Name, m.version, wanted); err != nil {
			return err
		}
		if err := retry.Wait(ctx, seizeAgain); err != nil {
			return err
		}
	}
}

// leaseFree leases the partitions that are free, and returns the others.
func (m *member) leaseFree(ctx context.Context, partitions []int) (busy []int, err error) {
	for _, p := range partitions {
		leased, err := m.leases.Try(ctx, p)
		if err != nil {
			return nil, err
		}
		if !leased {
			busy = append(busy, p)
		}
	}
	return busy, nil
}

// snapshot begins a transaction that sees one moment, however long it takes.
func (m *member) snapshot(ctx context.Context) (pgx.Tx, error) {
	tx, err := m.cfg.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin snapshot: %w", err)
	}
	for _, statement := range []string{"SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0"} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("begin snapshot: %w", err), tx.Rollback(ctx))
		}
	}
	return tx, nil
}

// compareOnce returns nil when the version is ahead of the live one in a partition.
func (m *member) compareOnce(ctx context.Context) (*Comparison, error) {
	ctx, cancel := postgres.Patient(ctx)
	defer cancel()
	group := m.cfg.Group
	liveTx, err := m.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer liveTx.Rollback(ctx) //nolint:errcheck // it only read
	if err := m.check(ctx); err != nil {
		return nil, err
	}
	live, _, err := ledger.LiveVersion(ctx, liveTx, group.Name)
	if err != nil {
		return nil, err
	}
	if live == m.version {
		return nil, fmt.Errorf("version %d of %s cannot be compared with itself: %w", live, group.Name, errSwappedIn)
	}
	vector, err := ledger.NextOffsets(ctx, liveTx, group.Name, live)
	if err != nil {
		return nil, err
	}
	own, err := ledger.NextOffsets(ctx, m.cfg.Pool, group.Name, m.version)
	if err != nil || ahead(own, vector) {
		return nil, err
	}
	if left := behind(own, vector); len(left) > 0 {
		if err := consumers.Fold(ctx, m.cfg, m.version, slices.Sorted(maps.Keys(left)), left); err != nil {
			return nil, err
		}
	}
	tx, err := m.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(ctx) //nolint:errcheck // it only read
	if own, err = ledger.NextOffsets(ctx, tx, group.Name, m.version); err != nil || ahead(own, vector) {
		return nil, err
	}
	result := &Comparison{Group: group.Name, LiveVersion: live, Version: m.version, Positions: vector}
	for _, table := range group.Tables {
		compared, err := compareTable(ctx, side{liveTx, table, live}, side{tx, table, m.version})
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", table, err)
		}
		result.Tables = append(result.Tables, *compared)
	}
	return result, nil
}

// ahead tells whether one version is past another in a partition.
func ahead(own, live map[int]int64) bool {
	for partition, next := range own {
		if next > live[partition] {
			return true
		}
	}
	return false
}
