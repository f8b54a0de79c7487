package consumers

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/kafkalog"
)

// session folds the partitions of one assignment, from the claim to the last commit. Its positions are owned by it
// alone: whoever claims them later makes its next transaction fail, and that ends it.
type session struct {
	// immutable after the claim
	cfg    *Config
	log    ledger.Log
	topic  string // as Kafka knows it
	counts []int  // the partition counts that the topic has had
	source string // the ce_source of our own relay
	reader *kafkalog.Reader
	parts  []*partition
	// waiting are partitions that have no position and cannot get one, since Kafka does not tell where their logs begin.
	waiting []int
	mirror  *mirror // nil for a version that is not live

	unsigned map[int]int64 // up to where partitions may have unsigned records of ours
	relays   relayTerms
}

// partition is what a session knows of one partition.
type partition struct {
	// immutable after the claim
	id         int
	ownerEpoch int64 // 0: it has no position that could be claimed
	beganAt    int64 // the offset at which reading began
	createdAt  time.Time
	rereadTo   int64 // offsets below it were folded before
	stopAt     int64 // where reading ends; -1: nowhere

	// of its worker alone, once the claim is done
	next      int64              // as committed
	epoch     int32              // of the record before next; -1 when unknown
	sequences ledger.Sequences   // as committed
	newestKey int                // the greatest number of a key that a record was signed by, as committed
	dead      map[int64]struct{} // offsets whose outcome is already dead-lettered
	failed    map[int64]struct{} // offsets that our code failed at, whose records become dead letters
	breaker   breaker            // as committed
	sources   map[string]breaker // of other producers, as committed
	aside     []ledger.Aside

	status partitionStatus
}

// partitionStatus is where a partition is and whether it is halted, for all goroutines.
type partitionStatus struct {
	mu   sync.Mutex
	at   kafkalog.At
	halt *ledger.Halt
}

func (s *partitionStatus) advance(next int64, epoch int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at.Offset, s.at.Epoch = next, epoch
}

func (s *partitionStatus) setHalt(halt *ledger.Halt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt = halt
}

func (s *partitionStatus) get() (kafkalog.At, *ledger.Halt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at, s.halt
}

// halted tells whether the partition is halted.
func (p *partition) halted() bool {
	_, halt := p.status.get()
	return halt != nil
}

// where names the partition for a remedy; offset is where to skip to, below 0 when the operator has to choose.
func (s *session) where(partition int, offset int64) ledger.At {
	return ledger.At{Group: s.log.Group, Topic: s.log.Topic, Partition: partition, Offset: offset}
}

func (s *session) running() []kafkalog.At {
	var result []kafkalog.At
	for _, part := range s.parts {
		if at, halt := part.status.get(); halt == nil {
			result = append(result, at)
		}
	}
	return result
}

// halt stops one partition for all owners until an operator or a new claim moves it on.
func (s *session) halt(ctx context.Context, part *partition, halt *ledger.Halt) error {
	if err := s.log.Halt(ctx, s.cfg.Pool, part.id, part.ownerEpoch, halt); err != nil {
		return err
	}
	part.status.setHalt(halt)
	if !s.log.Shadow {
		s.cfg.Metrics.lost.WithLabelValues(s.log.Group).Add(float64(halt.Lost))
	}
	at, _ := part.status.get()
	s.cfg.Log.Error("partition halted", "group", s.log.Group, "version", s.log.Version, "topic", s.log.Topic,
		"partition", part.id, "offset", at.Offset, "reason", string(halt.Reason), "detail", halt.Detail)
	s.showHalt(part)
	return nil
}

func (s *session) showHalt(part *partition) {
	if _, halt := part.status.get(); halt != nil && !s.log.Shadow {
		s.cfg.Metrics.halted.WithLabelValues(s.log.Group, s.log.Topic, strconv.Itoa(part.id), string(halt.Reason)).Set(1)
	}
}

// close takes the session's partitions out of the gauges.
func (s *session) close() {
	if s.log.Shadow {
		return
	}
	for _, part := range s.parts {
		if _, halt := part.status.get(); halt != nil {
			s.cfg.Metrics.halted.DeleteLabelValues(s.log.Group, s.log.Topic, strconv.Itoa(part.id), string(halt.Reason))
		}
	}
	s.cfg.Metrics.owned.WithLabelValues(s.log.Group).Set(0)
}

// errReclaim ends a session so that halted partitions are looked at again.
var errReclaim = errors.New("positions are to be claimed again")

// run folds until ctx ends, the positions are lost, or every partition has reached its stopAt. It returns nil in the
// first and the last case.
func (s *session) run(ctx context.Context) error {
	defer s.close()
	if !s.log.Shadow {
		s.cfg.Metrics.owned.WithLabelValues(s.log.Group).Set(float64(len(s.parts)))
	}
	group, ctx := errgroup.WithContext(ctx)
	watching, stopWatching := context.WithCancel(ctx)
	group.Go(func() error { return s.watch(watching) })
	folding, fctx := errgroup.WithContext(ctx)
	for i := range min(s.cfg.Workers, len(s.parts)) {
		var mine []*partition
		for j := i; j < len(s.parts); j += s.cfg.Workers {
			mine = append(mine, s.parts[j])
		}
		folding.Go(func() error { return newWorker(s, mine).run(fctx) })
	}
	if len(s.parts) == 0 && !s.log.Shadow { // until the watch finds that one of those that wait can be claimed
		folding.Go(func() error { <-fctx.Done(); return nil })
	}
	group.Go(func() error {
		defer stopWatching()
		return folding.Wait()
	})
	err := group.Wait()
	if s.mirror != nil {
		s.mirror.flush()
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// breaker halts a partition when too many of its records cannot be applied.
type breaker struct {
	limit         int // of 1,000
	records, dead int
}

// add counts one record and tells whether the limit is passed.
func (b *breaker) add(dead bool) bool {
	if b.records == 1000 {
		b.records, b.dead = 0, 0
	}
	b.records++
	if dead {
		b.dead++
	}
	return b.dead > b.limit
}

// reclaimAfter is how long a session lasts at most before its halted partitions are looked at again. Those without a
// position have no row by which an operator's command could be noticed.
func (s *session) reclaimAfter() time.Duration {
	const soon, later, never = 5 * time.Second, 30 * time.Second, time.Duration(1<<63 - 1)
	after := never
	for _, part := range s.parts {
		switch _, halt := part.status.get(); {
		case halt == nil:
		case part.ownerEpoch == 0:
			after = min(after, soon)
		case halt.Reason.Retried():
			after = min(after, later)
		}
	}
	return after
}
