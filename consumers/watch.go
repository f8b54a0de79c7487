package consumers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/kafkalog"
)

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
		if err := s.checkOwnership(ctx); errors.Is(err, ledger.ErrFenced) {
			return err
		}
		if time.Since(began) > s.reclaimAfter() {
			return errReclaim
		}
		if tick%5 == 0 {
			if err := s.haltWatched(ctx); err != nil {
				return err
			}
		}
		if len(s.waiting) > 0 && s.anyBegins(ctx) {
			return errReclaim
		}
	}
}

// anyBegins tells whether Kafka now knows where the log of a partition begins that waits for a position.
func (s *session) anyBegins(ctx context.Context) bool {
	starts, _ := kafkalog.Starts(ctx, s.cfg.Broker, s.topic) // what it does not know is looked for again
	return slices.ContainsFunc(s.waiting, func(id int) bool {
		_, known := starts[id]
		return known
	})
}

// haltWatched halts what no longer fits the log. A worker may be in the middle of a batch of that partition: its next
// compare-and-set fails, and the session is opened anew.
func (s *session) haltWatched(ctx context.Context) error {
	halts, err := s.inspect(ctx, s.running())
	if err != nil {
		s.cfg.Log.Warn("inspecting the log has to wait", "group", s.log.Group, "error", err)
		return nil
	}
	for _, part := range s.parts {
		halt := halts[part.id]
		if halt == nil {
			continue
		}
		switch err := s.halt(ctx, part, halt); {
		case err == nil:
			return errReclaim
		case errors.Is(err, ledger.ErrFenced):
			return err
		}
		// The next look finds it again.
	}
	return nil
}

// checkOwnership returns ErrFenced when a position was claimed, moved or taken away since.
func (s *session) checkOwnership(ctx context.Context) error {
	ids := make([]int, len(s.parts))
	for i, part := range s.parts {
		ids[i] = part.id
	}
	owners, err := s.log.Owners(ctx, s.cfg.Pool, ids)
	if err != nil {
		return err
	}
	for _, part := range s.parts {
		if owners[part.id].OwnerEpoch != part.ownerEpoch {
			return ledger.ErrFenced
		}
	}
	return nil
}

// inspect compares where partitions were read to with what Kafka holds now. It returns the halts by partition; a topic
// that is not the one that was claimed, or has grown, halts all. kafka-go's requests are too old to tell any of it.
func (s *session) inspect(ctx context.Context, list []kafkalog.At) (map[int]*ledger.Halt, error) {
	topic, err := s.cfg.Broker.DescribeTopic(ctx, s.topic)
	if err != nil {
		return nil, err
	}
	if topic.ID != s.log.TopicID || topic.Cluster != s.log.Cluster {
		return everywhere(list, s.recreated()), nil
	}
	if topic.Partitions != s.log.Partitions {
		return everywhere(list, s.grown(s.log.Partitions, topic.Partitions)), nil
	}
	starts, err := kafkalog.Starts(ctx, s.cfg.Broker, s.topic)
	if err := kafkalog.UnlessPartial(err); len(starts) == 0 && err != nil {
		return nil, err
	}
	halts := map[int]*ledger.Halt{}
	var inside []kafkalog.At
	for _, at := range list {
		if start, known := starts[at.Partition]; known && start > at.Offset {
			halts[at.Partition] = s.gap(at, start)
		} else {
			inside = append(inside, at)
		}
	}
	return halts, s.inspectEpochs(ctx, inside, halts)
}

// inspectEpochs adds the partitions whose log was truncated below the position, also when it has grown past it again:
// the end of the epoch in which the last record was written is then below the position (KIP-320).
func (s *session) inspectEpochs(ctx context.Context, list []kafkalog.At, halts map[int]*ledger.Halt) error {
	if failpoint.Broken("epoch") {
		return nil
	}
	ends, err := kafkalog.EpochEnds(ctx, s.cfg.Broker, s.topic, list)
	if err != nil {
		return err
	}
	for _, at := range list {
		if end, known := ends[at.Partition]; known && end < at.Offset {
			halts[at.Partition] = s.truncated(at, end)
		}
	}
	return nil
}

func everywhere(list []kafkalog.At, halt *ledger.Halt) map[int]*ledger.Halt {
	halts := make(map[int]*ledger.Halt, len(list))
	for _, at := range list {
		halts[at.Partition] = halt
	}
	return halts
}

func (s *session) recreated() *ledger.Halt {
	return ledger.NewHalt(ledger.ReasonRecreated, s.where(-1, -1), "topic %s is not the one that was read (another topic id or cluster)", s.log.Topic)
}

func (s *session) grown(before, now int) *ledger.Halt {
	return ledger.NewHalt(ledger.ReasonGrown, s.where(-1, -1), "topic %s has %d partitions instead of %d, so users may have changed partition and lost their order",
		s.log.Topic, now, before)
}

func (s *session) gap(at kafkalog.At, start int64) *ledger.Halt {
	lost := start - at.Offset
	halt := ledger.NewHalt(ledger.ReasonGap, s.where(at.Partition, start), "the log begins at %d, above the position %d: %d records are gone", start, at.Offset, lost)
	halt.Lost = lost
	return halt
}

func (s *session) truncated(at kafkalog.At, end int64) *ledger.Halt {
	return ledger.NewHalt(ledger.ReasonTruncated, s.where(at.Partition, -1),
		"the log was cut at %d, below the position %d: what was read beyond is no longer in it, and the relay publishes its own records again", end, at.Offset)
}
