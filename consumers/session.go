package consumers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/outbox"
)

// session folds the partitions of one assignment, from the claim to the last commit. Its positions are owned by it
// alone: whoever claims them later makes its next transaction fail, and that ends it.
type session struct {
	// immutable after open
	cfg    *Config
	place  place
	topic  string // as Kafka knows it
	counts []int  // the partition counts that the topic has had
	source string // the ce_source of our own relay
	log    *topicLog
	parts  []*partition
	mirror *mirror // nil for a version that is not live

	relays relayIDs
}

// partition is what a session knows of one partition. Its worker alone touches it after the claim.
type partition struct {
	id        int
	committed position
	seqs      map[events.UUID]int64 // last number applied, by relay term, as committed
	dead      map[int64]struct{}    // offsets whose outcome is already dead-lettered
	refused   map[int64]*refusal    // offsets that the database refused, or that our code failed at
	stopAt    int64                 // where reading ends; -1: nowhere
	breaker   breaker               // as committed

	standing lockedStanding // for the watch
}

// lockedStanding is how far a partition has been committed and whether it stands still, for all goroutines.
type lockedStanding struct {
	mu    sync.Mutex
	at    standing
	fault *HaltError
}

func (l *lockedStanding) move(next int64, epoch int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at.next, l.at.epoch = next, epoch
}

func (l *lockedStanding) halt(fault *HaltError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
}

func (l *lockedStanding) get() (standing, *HaltError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at, l.fault
}

// openSession claims partitions of the group's topic for version. stopAt is nil, or the offset at which each ends.
func openSession(ctx context.Context, cfg *Config, version Version, partitions []int, stopAt map[int]int64) (*session, error) {
	name := cfg.Broker.Topic(cfg.Group.Topic)
	topic, err := cfg.Broker.DescribeTopic(ctx, name)
	if err != nil {
		return nil, err
	}
	starts, err := cfg.Broker.Admin.ListStartOffsets(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	if err := starts.Error(); err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	s := &session{
		cfg:   cfg,
		place: place{group: cfg.Group.Name, version: version, cluster: topic.Cluster, topic: cfg.Group.Topic, topicID: topic.ID, partitions: topic.Partitions},
		topic: name,
		log:   &topicLog{conn: cfg.Broker, topic: name, maxBytes: cfg.FetchBytes, maxWait: 500 * time.Millisecond},
	}
	s.relays.pool = cfg.Pool
	first := make([]int64, topic.Partitions)
	for p := range first {
		start, _ := starts.Lookup(name, int32(p))
		first[p] = start.Offset
	}
	err = pgx.BeginFunc(ctx, cfg.Pool, func(tx pgx.Tx) error { return s.claim(ctx, tx, partitions, first) })
	if err != nil {
		return nil, err
	}
	failpoint.Hit("after_claim")
	for _, p := range s.parts {
		p.stopAt = -1
		if at, ok := stopAt[p.id]; ok {
			p.stopAt = at
		}
	}
	if err := s.haltFaulty(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// claim takes the partitions within tx and reads all that folding them needs.
func (s *session) claim(ctx context.Context, tx pgx.Tx, partitions []int, starts []int64) error {
	p := &s.place
	if err := s.checkState(ctx, tx); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, sourceSQL).Scan(&s.source); err != nil {
		return fmt.Errorf("read deployment: %w", err)
	}
	recreated := p.haltRecreated()
	tag, err := tx.Exec(ctx, otherLogsSQL, p.group, p.version.Number, p.topic, p.cluster, p.topicID, recreated.Detail)
	if err != nil {
		return fmt.Errorf("look for earlier logs: %w", err)
	}
	if tag.RowsAffected() > 0 {
		s.haltUnclaimed(partitions, recreated)
		return nil
	}
	if err := s.acceptCount(ctx, tx); err != nil {
		return err
	}
	if err := s.takePositions(ctx, tx, partitions, starts); err != nil {
		return err
	}
	return s.readMemory(ctx, tx)
}

// checkState returns errFenced when the version is no longer what this session takes it for: a swap, a drop or a binary
// with another rule came between the look at the versions and the claim. Folding a live version as a shadow would leave
// out its marks and counters; folding a retired one as live would leave the live one standing.
func (s *session) checkState(ctx context.Context, tx pgx.Tx) error {
	wanted := "live"
	if s.place.version.Shadow {
		wanted = "building"
	}
	var state string
	var rule int
	err := tx.QueryRow(ctx, lockVersionSQL, s.place.group, s.place.version.Number).Scan(&state, &rule)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (state != wanted || rule != s.cfg.Group.FoldVersion) {
		return errFenced
	}
	if err != nil {
		return fmt.Errorf("read state of version %d: %w", s.place.version.Number, err)
	}
	return nil
}

// haltUnclaimed lists partitions that have no position that could be claimed.
func (s *session) haltUnclaimed(partitions []int, fault *HaltError) {
	for _, id := range partitions {
		part := &partition{id: id}
		part.standing.at.partition, part.standing.fault = id, fault
		s.parts = append(s.parts, part)
	}
}

// acceptCount records the partition count at first sight, and halts the topic when it is another than was accepted.
func (s *session) acceptCount(ctx context.Context, tx pgx.Tx) error {
	p := &s.place
	if _, err := tx.Exec(ctx, firstCountSQL, p.cluster, p.topicID, p.topic, p.partitions); err != nil {
		return fmt.Errorf("record partition count: %w", err)
	}
	rows, err := tx.Query(ctx, acceptedCountsSQL, p.cluster, p.topicID)
	if err != nil {
		return fmt.Errorf("read partition counts: %w", err)
	}
	s.counts, err = pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return fmt.Errorf("read partition counts: %w", err)
	}
	if most := slices.Max(s.counts); most != p.partitions {
		fault := p.haltGrown(most, p.partitions)
		if _, err := tx.Exec(ctx, haltGrownSQL, p.group, p.version.Number, p.cluster, p.topicID, fault.Detail); err != nil {
			return fmt.Errorf("halt grown topic: %w", err)
		}
	}
	return nil
}

func (s *session) takePositions(ctx context.Context, tx pgx.Tx, partitions []int, starts []int64) error {
	p := &s.place
	accepted := min(slices.Max(s.counts), len(starts))
	all := make([]int32, accepted)
	for i := range all {
		all[i] = int32(i)
	}
	if _, err := tx.Exec(ctx, firstSightSQL, p.group, p.version.Number, p.cluster, p.topic, p.topicID, all, starts[:accepted]); err != nil {
		return fmt.Errorf("add positions: %w", err)
	}
	wanted := make([]int32, len(partitions))
	for i, id := range partitions {
		wanted[i] = int32(id)
	}
	retried := []string{string(HaltUnknownType), string(HaltDatabase), string(HaltFoldVersion)}
	rows, err := tx.Query(ctx, claimSQL, p.group, p.version.Number, p.cluster, p.topicID, wanted, s.cfg.Owner, retried)
	if err != nil {
		return fmt.Errorf("claim positions: %w", err)
	}
	var part *partition
	var state, reason, detail string
	claimed := map[int]bool{}
	var id int
	var at position
	_, err = pgx.ForEachRow(rows, []any{&id, &at.next, &at.leaderEpoch, &at.ownerEpoch, &at.beganAt, &state, &reason, &detail}, func() error {
		part = &partition{id: id, committed: at, seqs: map[events.UUID]int64{}, dead: map[int64]struct{}{}}
		part.breaker.limit = s.cfg.DeadLetterLimit
		part.standing.at = standing{partition: id, next: at.next, epoch: at.leaderEpoch}
		if state != "running" {
			part.standing.fault = &HaltError{Reason: HaltReason(reason), Detail: detail}
		}
		claimed[id] = true
		s.parts = append(s.parts, part)
		return nil
	})
	if err != nil {
		return fmt.Errorf("claim positions: %w", err)
	}
	for _, id := range partitions {
		if !claimed[id] {
			s.haltUnclaimed([]int{id}, p.haltGrown(accepted, p.partitions))
		}
	}
	return nil
}

// mirrorClaimed repeats the claimed positions to Kafka, whose offsets may be older, expired or reset.
func (s *session) mirrorClaimed() {
	for _, part := range s.parts {
		if part.committed.ownerEpoch > 0 {
			s.mirror.add(part.id, part.committed.next)
		}
	}
}

// readMemory loads the relays' numbers and the offsets that are already dead-lettered.
func (s *session) readMemory(ctx context.Context, tx pgx.Tx) error {
	p := &s.place
	byID := map[int]*partition{}
	ids := make([]int32, 0, len(s.parts))
	for _, part := range s.parts {
		byID[part.id] = part
		ids = append(ids, int32(part.id))
	}
	rows, err := tx.Query(ctx, sequencesSQL, p.group, p.version.Number, p.topic, ids)
	if err != nil {
		return fmt.Errorf("read relay numbers: %w", err)
	}
	var id int
	var relay events.UUID
	var seq int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &relay, &seq}, func() error {
		if part := byID[id]; part.seqs != nil {
			part.seqs[relay] = seq
		}
		return nil
	}); err != nil {
		return fmt.Errorf("read relay numbers: %w", err)
	}
	for _, part := range s.parts {
		if err := s.readDead(ctx, tx, part); err != nil {
			return err
		}
	}
	return nil
}

// readDead loads the offsets from the position on whose outcome an earlier version or run decided.
func (s *session) readDead(ctx context.Context, db querier, part *partition) error {
	if part.dead == nil {
		return nil
	}
	rows, err := db.Query(ctx, deadOffsetsSQL, s.place.group, s.place.topicID, part.id, part.committed.next, s.place.version.Number)
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	offsets, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	clear(part.dead)
	for _, offset := range offsets {
		part.dead[offset] = struct{}{}
	}
	return nil
}

// haltFaulty inspects the log at the claim and halts what does not fit it.
func (s *session) haltFaulty(ctx context.Context) error {
	faults, err := s.inspect(ctx, s.running())
	if err != nil {
		return err
	}
	for _, part := range s.parts {
		if fault := faults[part.id]; fault != nil {
			if err := s.halt(ctx, part, fault); err != nil {
				return err
			}
		}
		s.showHalt(part)
	}
	return nil
}

func (s *session) running() []standing {
	var result []standing
	for _, part := range s.parts {
		if at, fault := part.standing.get(); fault == nil {
			result = append(result, at)
		}
	}
	return result
}

// halt stops one partition for all owners until an operator or a new claim moves it on.
func (s *session) halt(ctx context.Context, part *partition, fault *HaltError) error {
	p := &s.place
	detail := events.CleanText(fault.Detail, 2000)
	tag, err := s.cfg.Pool.Exec(ctx, haltSQL, p.group, p.version.Number, p.cluster, p.topicID, part.id, part.committed.ownerEpoch, string(fault.Reason), detail)
	if err != nil {
		return fmt.Errorf("halt %s/%d: %w", p.topic, part.id, err)
	}
	if tag.RowsAffected() == 0 {
		return errFenced
	}
	part.standing.halt(fault)
	s.countLost(fault)
	s.cfg.Log.Error("partition halted", "group", p.group, "version", p.version.Number, "topic", p.topic,
		"partition", part.id, "offset", part.committed.next, "reason", string(fault.Reason), "detail", detail)
	s.showHalt(part)
	return nil
}

func (s *session) countLost(fault *HaltError) {
	if !s.place.version.Shadow {
		s.cfg.Metrics.lost.WithLabelValues(s.place.group).Add(float64(fault.Lost))
	}
}

func (s *session) showHalt(part *partition) {
	if _, fault := part.standing.get(); fault != nil && !s.place.version.Shadow {
		s.cfg.Metrics.halted.WithLabelValues(s.place.group, s.place.topic, strconv.Itoa(part.id), string(fault.Reason)).Set(1)
	}
}

// close takes the session's partitions out of the gauges.
func (s *session) close() {
	if s.place.version.Shadow {
		return
	}
	for _, part := range s.parts {
		if _, fault := part.standing.get(); fault != nil {
			s.cfg.Metrics.halted.DeleteLabelValues(s.place.group, s.place.topic, strconv.Itoa(part.id), string(fault.Reason))
		}
	}
	s.cfg.Metrics.owned.WithLabelValues(s.place.group).Set(0)
}

// errReclaim ends a session so that halted partitions are looked at again.
var errReclaim = errors.New("positions are to be claimed again")

// run folds until ctx ends, the positions are lost, or every partition has reached its stopAt. It returns nil in the
// first and the last case.
func (s *session) run(ctx context.Context) error {
	defer s.close()
	if !s.place.version.Shadow {
		s.cfg.Metrics.owned.WithLabelValues(s.place.group).Set(float64(len(s.parts)))
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

// watch inspects the log every ten seconds, follows what operators do to the positions, and ends the session when a
// halted partition may be running again.
func (s *session) watch(ctx context.Context) error {
	const interval = 2 * time.Second
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	began := time.Now()
	for tick := 1; ; tick++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := s.checkOwnership(ctx); errors.Is(err, errFenced) {
			return err
		}
		if time.Since(began) > s.reclaimAfter() {
			return errReclaim
		}
		if tick%5 != 0 {
			continue
		}
		faults, err := s.inspect(ctx, s.running())
		if err != nil {
			s.cfg.Log.Warn("inspecting the log has to wait", "group", s.place.group, "error", err)
			continue
		}
		for _, part := range s.parts {
			if fault := faults[part.id]; fault != nil {
				if err := s.haltFromWatch(ctx, part, fault); err != nil {
					return err
				}
			}
		}
	}
}

// haltFromWatch halts a partition whose worker may be in the middle of a batch: the row is halted, so that the
// worker's next compare-and-set fails and the session is opened anew.
func (s *session) haltFromWatch(ctx context.Context, part *partition, fault *HaltError) error {
	p := &s.place
	tag, err := s.cfg.Pool.Exec(ctx, haltSQL, p.group, p.version.Number, p.cluster, p.topicID, part.id, part.committed.ownerEpoch,
		string(fault.Reason), fault.Detail)
	if err != nil {
		return nil // the next look finds it again
	}
	if tag.RowsAffected() == 0 {
		return errFenced
	}
	s.countLost(fault)
	s.cfg.Log.Error("partition halted", "group", p.group, "version", p.version.Number, "topic", p.topic, "partition", part.id,
		"reason", string(fault.Reason), "detail", fault.Detail)
	return errReclaim
}

// reclaimAfter is how long a session lasts at most before its halted partitions are looked at again. Those without a
// position have no row by which an operator's command could be noticed.
func (s *session) reclaimAfter() time.Duration {
	const soon, later, never = 5 * time.Second, 30 * time.Second, math.MaxInt64
	after := time.Duration(never)
	for _, part := range s.parts {
		switch _, fault := part.standing.get(); {
		case fault == nil:
		case part.committed.ownerEpoch == 0:
			after = min(after, soon)
		case fault.Reason.retried():
			after = min(after, later)
		}
	}
	return after
}

// checkOwnership returns errFenced when a position was claimed, moved or taken away since.
func (s *session) checkOwnership(ctx context.Context) error {
	p := &s.place
	ids := make([]int32, len(s.parts))
	for i, part := range s.parts {
		ids[i] = int32(part.id)
	}
	rows, err := s.cfg.Pool.Query(ctx, whereSQL, p.group, p.version.Number, p.cluster, p.topicID, ids)
	if err != nil {
		return err
	}
	owners := map[int]int64{}
	var id int
	var next, owner int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &next, &owner}, func() error {
		owners[id] = owner
		return nil
	}); err != nil {
		return err
	}
	for _, part := range s.parts {
		if owners[part.id] != part.committed.ownerEpoch {
			return errFenced
		}
	}
	return nil
}

// errRestored holds records of unknown terms while the database is behind the log.
var errRestored = errors.New("the database was restored from a backup and the relay has not caught up with the log")

// relayIDs remembers which relay terms are ours. Terms are added all the time, so an unknown one is looked up.
type relayIDs struct {
	pool  querier
	mu    sync.Mutex
	known map[events.UUID]bool
}

func (r *relayIDs) has(ctx context.Context, id events.UUID) (bool, error) {
	r.mu.Lock()
	known := r.known[id]
	r.mu.Unlock()
	if known {
		return true, nil
	}
	var found bool
	if err := r.pool.QueryRow(ctx, relayKnownSQL, id).Scan(&found); err != nil {
		return false, fmt.Errorf("look up relay: %w", err)
	}
	if !found {
		// A database restored from a backup lacks the terms that came after it until the relay has put them back.
		restored, err := outbox.Restored(ctx, r.pool)
		if err != nil {
			return false, err
		}
		if restored {
			return false, errRestored
		}
	}
	if found {
		r.mu.Lock()
		if r.known == nil {
			r.known = map[events.UUID]bool{}
		}
		r.known[id] = true
		r.mu.Unlock()
	}
	return found, nil
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
