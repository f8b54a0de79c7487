package rebuild

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/retry"
)

// What is left to be folded in a rebuild, in records: much of it is folded partition by partition, and less than a
// moment's worth is the end.
const (
	muchLeft     = 20_000
	momentsWorth = 5000
)

// lookAgain is how long to wait when all that is left is leased by other processes, and after a partition was taken away.
const lookAgain = 500 * time.Millisecond

// errSwappedIn tells that the version became the live one meanwhile.
var errSwappedIn = errors.New("it was swapped in")

// unreadError tells of partitions that could not be folded, when all others were.
type unreadError struct {
	version int
	group   string
	read    map[int]int64 // the others
	cause   error
}

func (e *unreadError) Error() string {
	return fmt.Sprintf("version %d of %s lacks what cannot be read: %v", e.version, e.group, e.cause)
}

func (e *unreadError) Unwrap() error { return e.cause }

// canRead tells whether a partition could be read; without an error, all could.
func (e *unreadError) canRead(partition int) bool {
	if e == nil {
		return true
	}
	_, read := e.read[partition]
	return read
}

// member is one process of those that build a version together. While much is left each leases one partition per worker,
// folds it to its end and takes the next free one. The rest, and what comes in while a member follows the log, is folded by
// one member that leases all partitions; the others wait, and one of them goes on when it ends.
type member struct {
	cfg     consumers.Config
	version int
	follow  bool // fold on at the end of the log
	leases  *ledger.Leases

	waited  bool          // for other processes
	awaited map[int]int64 // what they have to reach, by partition
}

// join makes this process a member. Its leases must be closed.
func join(ctx context.Context, cfg *consumers.Config, version int, follow bool) (*member, error) {
	leases, err := ledger.OpenLeases(ctx, cfg.Pool, cfg.Group.Name, version)
	if err != nil {
		return nil, err
	}
	return &member{cfg: forRebuild(*cfg), version: version, follow: follow, leases: leases}, nil
}

// rest is what is left to be folded.
type rest struct {
	from, to map[int]int64 // offsets by partition
	records  int64
	fault    error // of partitions of which Kafka does not tell the end; the others can be folded
}

// destination reads the offsets to fold to, by partition. Beside offsets, an error is about the partitions that are missing.
type destination func(ctx context.Context) (map[int]int64, error)

// logEnds are a destination.
func (m *member) logEnds(ctx context.Context) (map[int]int64, error) {
	_, ends, err := kafkalog.Ends(ctx, m.cfg.Broker, m.cfg.Broker.Topic(m.cfg.Group.Topic))
	return ends, err
}

// look reads what is left, of a version that is still being built.
func (m *member) look(ctx context.Context, to destination) (rest, error) {
	if err := m.check(ctx); err != nil {
		return rest{}, err
	}
	ends, fault := to(ctx)
	if err := kafkalog.UnlessPartial(fault); err != nil && len(ends) == 0 {
		return rest{}, err
	}
	from, err := ledger.NextOffsets(ctx, m.cfg.Pool, m.cfg.Group.Name, m.version)
	if err != nil {
		return rest{}, err
	}
	left := rest{from: from, to: ends, fault: fault}
	for p, end := range ends {
		ends[p] = max(end, from[p])
		left.records += ends[p] - from[p]
	}
	return left, nil
}

// reached tells whether the version has got to offsets that were read before.
func (r *rest) reached(to map[int]int64) bool {
	for p, end := range to {
		if at, ok := r.from[p]; !ok || at < end {
			return false
		}
	}
	return true
}

// check returns an error unless the version is still being built by this rule.
func (m *member) check(ctx context.Context) error {
	group := m.cfg.Group
	version, err := ledger.FindVersion(ctx, m.cfg.Pool, group.Name, m.version)
	switch {
	case err != nil:
		return err
	case version.State == ledger.VersionLive:
		return fmt.Errorf("version %d of %s is not being built any more: %w", m.version, group.Name, errSwappedIn)
	case version.State != ledger.VersionBuilding:
		return fmt.Errorf("version %d of %s is not being built any more: it is %s", m.version, group.Name, version.State)
	case version.FoldVersion != group.FoldVersion:
		return fmt.Errorf("version %d of %s is folded by rule %d, this binary has %d", m.version, group.Name, version.FoldVersion, group.FoldVersion)
	}
	return nil
}

// catchUp folds until what is left is less than a moment's worth, and once more to that end, or until others have done it.
// With follow it goes on until ctx ends or the version is swapped in.
func (m *member) catchUp(ctx context.Context, to destination) error {
	for {
		left, err := m.look(ctx, to)
		if err != nil {
			return m.ended(err)
		}
		fold := m.foldTogether
		if left.records >= muchLeft {
			fold = m.foldInTurn
		}
		took, err := fold(ctx, left)
		if err != nil {
			return m.ended(err)
		}
		done := left.records < momentsWorth
		if !took {
			if done, err = m.await(ctx, left); err != nil {
				return err
			}
		}
		switch {
		case done && left.fault == nil:
			return nil
		case done && !m.follow:
			return &unreadError{m.version, m.cfg.Group.Name, left.to, left.fault}
		case left.fault != nil: // a follower waits for the partitions that cannot be read
			m.cfg.Log.Warn("partitions cannot be folded yet", "group", m.cfg.Group.Name, "version", m.version, "error", left.fault)
			if err := retry.Wait(ctx, lookAgain); err != nil {
				return err
			}
		}
	}
}

// await waits for other processes, which have leased what is left. It returns true when they have got to where the log
// ended when it was called first.
func (m *member) await(ctx context.Context, left rest) (done bool, err error) {
	if !m.waited {
		m.waited = true
		m.cfg.Log.Info("other processes fold what is left", "group", m.cfg.Group.Name, "version", m.version, "records", left.records)
	}
	switch {
	case m.follow || left.records >= muchLeft:
		m.awaited = nil
	case m.awaited == nil:
		m.awaited = left.to
	case left.reached(m.awaited):
		return true, nil
	default: // whoever follows the log does not end at a halt
		if err := ledger.Halted(ctx, m.cfg.Pool, m.cfg.Group.Name, m.version); err != nil {
			return false, err
		}
	}
	return false, retry.Wait(ctx, lookAgain)
}

// ended returns nil instead of an error that is the end of following.
func (m *member) ended(err error) error {
	if m.follow && errors.Is(err, errSwappedIn) {
		return nil
	}
	return err
}

// fold folds partitions that this process has leased. It returns false when they were taken away all the same.
func (m *member) fold(ctx context.Context, partitions []int, to map[int]int64) (bool, error) {
	err := consumers.Fold(ctx, m.cfg, m.version, partitions, to)
	if !errors.Is(err, ledger.ErrFenced) {
		return err == nil, err
	}
	return false, m.check(ctx)
}

// foldTogether folds what is left in one session, if it can lease all partitions.
func (m *member) foldTogether(ctx context.Context, left rest) (bool, error) {
	partitions := slices.Sorted(maps.Keys(left.to))
	if len(partitions) == 0 {
		return true, nil
	}
	leased, err := m.leaseAll(ctx, partitions)
	if err != nil || !leased {
		return false, err
	}
	defer m.leases.Release(context.WithoutCancel(ctx), partitions...)
	if m.follow && left.fault == nil {
		left.to = nil
	}
	return m.fold(ctx, partitions, left.to)
}

// leaseAll leases all partitions or none. All members begin with the same one, so that one of them succeeds.
func (m *member) leaseAll(ctx context.Context, partitions []int) (bool, error) {
	for i, p := range partitions {
		if leased, err := m.leases.Try(ctx, p); err != nil || !leased {
			m.leases.Release(ctx, partitions[:i]...)
			return false, err
		}
	}
	return true, nil
}
