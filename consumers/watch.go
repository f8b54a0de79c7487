package consumers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/internal/failpoint"
)

// standing is how far one partition has been read, and by which leader's record.
type standing struct {
	partition int
	next      int64
	epoch     int32 // -1 when unknown
}

// inspect compares where partitions were read to with what Kafka holds now. It returns the faults by partition; a
// topic that is not the one that was claimed, or has grown, is the fault of all. kafka-go's requests are too old to
// tell any of it.
func (s *session) inspect(ctx context.Context, standings []standing) (map[int]*HaltError, error) {
	topic, err := s.cfg.Broker.DescribeTopic(ctx, s.topic)
	if err != nil {
		return nil, err
	}
	if topic.ID != s.place.topicID || topic.Cluster != s.place.cluster {
		return everywhere(standings, s.place.haltRecreated()), nil
	}
	if topic.Partitions != s.place.partitions {
		return everywhere(standings, s.place.haltGrown(s.place.partitions, topic.Partitions)), nil
	}
	starts, err := s.cfg.Broker.Admin.ListStartOffsets(ctx, s.topic)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	faults := map[int]*HaltError{}
	for _, at := range standings {
		if start, ok := starts.Lookup(s.topic, int32(at.partition)); ok && start.Err == nil && start.Offset > at.next {
			faults[at.partition] = s.place.haltGap(at, start.Offset)
		}
	}
	return faults, s.inspectEpochs(ctx, standings, faults)
}

// inspectEpochs adds the partitions whose log was truncated below the position, also when it has grown past it again:
// the end of the epoch in which the last record was written is then below the position (KIP-320).
func (s *session) inspectEpochs(ctx context.Context, standings []standing, faults map[int]*HaltError) error {
	if failpoint.Broken("epoch") {
		return nil
	}
	var request kadm.OffsetForLeaderEpochRequest
	for _, at := range standings {
		if at.epoch >= 0 && faults[at.partition] == nil {
			request.Add(s.topic, int32(at.partition), at.epoch)
		}
	}
	if len(request) == 0 {
		return nil
	}
	answers, err := s.cfg.Broker.Admin.OffsetForLeaderEpoch(ctx, request)
	if err != nil {
		return fmt.Errorf("ask for the ends of leader epochs: %w", err)
	}
	for _, at := range standings {
		answer, ok := answers[s.topic][int32(at.partition)]
		if ok && answer.Err == nil && answer.EndOffset >= 0 && answer.EndOffset < at.next {
			faults[at.partition] = s.place.haltTruncated(at, answer.EndOffset)
		}
	}
	return nil
}

func everywhere(standings []standing, fault *HaltError) map[int]*HaltError {
	faults := make(map[int]*HaltError, len(standings))
	for _, at := range standings {
		faults[at.partition] = fault
	}
	return faults
}

func (p *place) haltRecreated() *HaltError {
	return halt(HaltRecreated, "topic %s is not the one that was read (another topic id or cluster); to read the new one from its start: applylens positions adopt %s %s --reason ...",
		p.topic, p.group, p.topic)
}

func (p *place) haltGrown(before, now int) *HaltError {
	return halt(HaltGrown, "topic %s has %d partitions instead of %d, so users may have changed partition and lost their order; to accept it: applylens positions adopt %s %s --reason ...",
		p.topic, now, before, p.group, p.topic)
}

func (p *place) haltGap(at standing, start int64) *HaltError {
	fault := halt(HaltGap, "the log begins at %d, above the position %d: %d records are gone; to go on at %d: applylens positions skip %s %s/%d --to %d --reason ..., or rebuild from a savepoint",
		start, at.next, start-at.next, start, p.group, p.topic, at.partition, start)
	fault.Lost = start - at.next
	return fault
}

func (p *place) haltTruncated(at standing, end int64) *HaltError {
	return halt(HaltTruncated, "the log was cut at %d, below the position %d; what was read beyond is no longer in it; the relay publishes its own records again; to go on from the cut: applylens positions adopt %s %s/%d --reason ...",
		end, at.next, p.group, p.topic, at.partition)
}
