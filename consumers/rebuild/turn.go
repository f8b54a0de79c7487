package rebuild

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/consumers/ledger"
)

// foldInTurn folds partitions to their ends, each by itself and as many at once as there are workers, those that have
// most left first, and leaves out what others have leased. A batch of one partition holds fewer keys than one of all of them
// that is as long, so that fewer rows are written twice. A partition that halts does not keep the others from their ends. It
// returns false when all was leased by others.
func (m *member) foldInTurn(ctx context.Context, left rest) (bool, error) {
	q := newQueue(m, left)
	folding, ctx := errgroup.WithContext(ctx)
	for range min(m.cfg.Workers, len(q.waiting)) {
		folding.Go(func() error { return q.work(ctx) })
	}
	err := folding.Wait()
	return q.took, errors.Join(append(q.halts, err)...)
}

// queue is the partitions that the workers of a member still want to fold.
type queue struct {
	*member
	to map[int]int64

	mu      sync.Mutex
	waiting []int // in order
	took    bool
	halts   []error
}

func newQueue(m *member, left rest) *queue {
	q := &queue{member: m, to: left.to}
	for p, end := range left.to {
		if end > left.from[p] {
			q.waiting = append(q.waiting, p)
		}
	}
	slices.SortFunc(q.waiting, func(a, b int) int {
		return cmp.Or(cmp.Compare(left.to[b]-left.from[b], left.to[a]-left.from[a]), a-b)
	})
	return q
}

// work folds one partition after the other until none is free.
func (q *queue) work(ctx context.Context) error {
	for {
		p, found, err := q.next(ctx)
		if err != nil || !found {
			return err
		}
		err = q.foldOne(ctx, p)
		q.leases.Release(context.WithoutCancel(ctx), p)
		if err != nil {
			return err
		}
	}
}

// next leases the first partition that is free.
func (q *queue) next(ctx context.Context) (partition int, found bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, p := range q.waiting {
		leased, err := q.leases.Try(ctx, p)
		if err != nil {
			return 0, false, err
		}
		if leased {
			q.waiting = slices.Delete(q.waiting, i, i+1)
			return p, true, nil
		}
	}
	return 0, false, nil
}

// foldOne folds a partition to its end, unless another process has done so by now. A halt is kept for the end.
func (q *queue) foldOne(ctx context.Context, p int) error {
	now, err := ledger.NextOffsets(ctx, q.cfg.Pool, q.cfg.Group.Name, q.version)
	if at, ok := now[p]; err != nil || ok && at >= q.to[p] {
		return err
	}
	kept, err := q.fold(ctx, []int{p}, q.to)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.took = q.took || kept
	var halt *ledger.Halt
	if errors.As(err, &halt) {
		q.took, q.halts = true, append(q.halts, err)
		return nil
	}
	return err
}
