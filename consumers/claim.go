package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
)

// openSession claims partitions of the group's topic for version. stopAt is nil, or the offset at which each ends.
func openSession(ctx context.Context, cfg *Config, version Version, partitions []int, stopAt map[int]int64) (*session, error) {
	name := cfg.Broker.Topic(cfg.Group.Topic)
	topic, err := cfg.Broker.DescribeTopic(ctx, name)
	if err != nil {
		return nil, err
	}
	starts, err := kafkalog.Starts(ctx, cfg.Broker, name)
	if err := kafkalog.UnlessPartial(err); len(starts) == 0 && err != nil {
		return nil, err // otherwise it is about single partitions, which have a position already, or wait for one
	}
	s := &session{
		cfg: cfg,
		log: ledger.Log{
			Group: cfg.Group.Name, Version: version.Number, Shadow: version.Shadow,
			Cluster: topic.Cluster, Topic: cfg.Group.Topic, TopicID: topic.ID, Partitions: topic.Partitions,
		},
		topic:  name,
		reader: &kafkalog.Reader{Conn: cfg.Broker, Topic: name, MaxBytes: cfg.FetchBytes, MaxWait: 500 * time.Millisecond},
		relays: relayTerms{db: cfg.Pool},
	}
	claiming, cancel := context.WithTimeout(ctx, cfg.BatchDeadline)
	defer cancel()
	err = postgres.InTx(claiming, cfg.Pool, func(tx *postgres.Tx) error { return s.claim(claiming, tx, partitions, starts) })
	if err != nil {
		return nil, err
	}
	failpoint.Hit("after_claim")
	for _, part := range s.parts {
		part.stopAt = -1
		if at, ok := stopAt[part.id]; ok {
			part.stopAt = at
		}
	}
	if err := s.haltFaulty(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// claim takes the partitions within tx and reads all that folding them needs.
func (s *session) claim(ctx context.Context, tx *postgres.Tx, partitions []int, starts map[int]int64) error {
	if err := s.checkVersion(ctx, tx); err != nil {
		return err
	}
	var err error
	if s.source, err = outbox.Source(ctx, tx); err != nil {
		return err
	}
	recreated := s.recreated()
	other, err := s.log.HaltOtherLogs(ctx, tx, recreated)
	if err != nil {
		return err
	}
	if other {
		s.addUnclaimed(partitions, recreated)
		return nil
	}
	if s.counts, err = s.log.PartitionCounts(ctx, tx); err != nil {
		return err
	}
	accepted := slices.Max(s.counts)
	if accepted != s.log.Partitions {
		if err := s.log.HaltGrown(ctx, tx, s.grown(accepted, s.log.Partitions)); err != nil {
			return err
		}
	}
	if err := s.takePositions(ctx, tx, partitions, accepted, starts); err != nil {
		return err
	}
	return s.readMemory(ctx, tx)
}

// checkVersion returns ErrFenced when the version is no longer what this session takes it for: a swap, a drop or a binary
// with another rule came between the look at the versions and the claim. Folding a live version as a shadow would leave
// out its marks and counters; folding a retired one as live would leave the live one where it is.
func (s *session) checkVersion(ctx context.Context, tx *postgres.Tx) error {
	wanted := ledger.VersionLive
	if s.log.Shadow {
		wanted = ledger.VersionBuilding
	}
	state, rule, err := ledger.LockVersion(ctx, tx, s.log.Group, s.log.Version)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (state != wanted || rule != s.cfg.Group.FoldVersion) {
		return ledger.ErrFenced
	}
	if err != nil {
		return fmt.Errorf("read state of version %d: %w", s.log.Version, err)
	}
	return nil
}

// addUnclaimed adds partitions that have no position that could be claimed.
func (s *session) addUnclaimed(partitions []int, halt *ledger.Halt) {
	for _, id := range partitions {
		part := &partition{id: id}
		part.status.at.Partition, part.status.halt = id, halt
		s.parts = append(s.parts, part)
	}
}

// takePositions gives every accepted partition a position and claims those of this session.
func (s *session) takePositions(ctx context.Context, tx *postgres.Tx, partitions []int, accepted int, starts map[int]int64) error {
	first := map[int]int64{}
	for partition, start := range starts {
		if partition < accepted {
			first[partition] = start
		}
	}
	if err := s.log.AddPositions(ctx, tx, first, nil); err != nil {
		return err
	}
	claimed, err := s.log.Claim(ctx, tx, partitions, s.cfg.Owner)
	if err != nil {
		return err
	}
	missing := slices.Clone(partitions)
	for _, c := range claimed {
		part := &partition{
			id: c.Partition, ownerEpoch: c.OwnerEpoch, beganAt: c.BeganAt, createdAt: c.CreatedAt, rereadTo: c.RereadTo, next: c.Next, epoch: c.LeaderEpoch,
			sequences: ledger.Sequences{}, dead: map[int64]struct{}{}, failed: map[int64]struct{}{},
			breaker: breaker{limit: s.cfg.DeadLetterLimit},
		}
		part.status.at = kafkalog.At{Partition: part.id, Offset: part.next, Epoch: part.epoch}
		part.status.halt = c.Halt
		s.parts = append(s.parts, part)
		missing = slices.DeleteFunc(missing, func(id int) bool { return id == part.id })
	}
	for _, id := range missing {
		if _, known := starts[id]; id < accepted && !known {
			s.waiting = append(s.waiting, id)
		}
	}
	if len(s.waiting) > 0 {
		s.cfg.Log.Warn("partitions have to wait: they have no position yet, and Kafka does not tell where their logs begin, so they may have no leader",
			"group", s.log.Group, "topic", s.log.Topic, "partitions", s.waiting)
	}
	missing = slices.DeleteFunc(missing, func(id int) bool { return slices.Contains(s.waiting, id) })
	s.addUnclaimed(missing, s.grown(accepted, s.log.Partitions))
	return nil
}

// readMemory loads the relays' sequences and the offsets that are already dead-lettered.
func (s *session) readMemory(ctx context.Context, tx *postgres.Tx) error {
	ids := make([]int, len(s.parts))
	for i, part := range s.parts {
		ids[i] = part.id
	}
	sequences, err := s.log.Sequences(ctx, tx, ids)
	if err != nil {
		return err
	}
	if s.unsigned, err = s.log.Unsigned(ctx, tx); err != nil {
		return err
	}
	if err := s.readAside(ctx, tx, s.parts); err != nil {
		return err
	}
	for _, part := range s.parts {
		if part.ownerEpoch == 0 {
			continue
		}
		if found := sequences[part.id]; found != nil {
			part.sequences = found
			for _, last := range found {
				part.newestKey = max(part.newestKey, last.Key)
			}
		}
		if err := s.readDead(ctx, tx, part); err != nil {
			return err
		}
	}
	return nil
}

// readAside loads which sources are set aside in partitions.
func (s *session) readAside(ctx context.Context, db ledger.Querier, parts []*partition) error {
	ids := make([]int, len(parts))
	for i, part := range parts {
		ids[i] = part.id
	}
	aside, err := s.log.Aside(ctx, db, ids)
	if err != nil {
		return err
	}
	for _, part := range parts {
		part.aside = aside[part.id]
	}
	return nil
}

// readDead loads the offsets from the position on whose outcome an earlier version or run decided.
func (s *session) readDead(ctx context.Context, db ledger.Querier, part *partition) (err error) {
	part.dead, err = s.log.DeadOffsets(ctx, db, part.id, part.next)
	return err
}

// haltFaulty inspects the log at the claim and halts what does not fit it.
func (s *session) haltFaulty(ctx context.Context) error {
	halts, err := s.inspect(ctx, s.running())
	if err != nil {
		return err
	}
	for _, part := range s.parts {
		if halt := halts[part.id]; halt != nil {
			if err := s.halt(ctx, part, halt); err != nil {
				return err
			}
		}
		s.showHalt(part)
	}
	return nil
}

// mirrorClaimed repeats the claimed positions to Kafka, whose offsets may be older, expired or reset.
func (s *session) mirrorClaimed() {
	for _, part := range s.parts {
		if part.ownerEpoch > 0 {
			s.mirror.add(part.id, part.next)
		}
	}
}
