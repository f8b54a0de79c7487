package consumers

import (
	"context"
	"errors"
	"sync"
)

// fed is what a reader hands to its worker: a chunk, or the fault at which it stopped.
type fed struct {
	part  *partition
	chunk *chunk
	fault *HaltError
}

// readers fetch the partitions of one worker ahead of it, one goroutine and one request each.
type readers struct {
	feed chan fed
	stop context.CancelFunc
	done sync.WaitGroup
}

// startReaders reads the partitions that are not halted, each from its committed position.
func (s *session) startReaders(ctx context.Context, parts []*partition) *readers {
	ctx, stop := context.WithCancel(ctx)
	r := &readers{feed: make(chan fed), stop: stop}
	for _, part := range parts {
		if _, fault := part.standing.get(); fault != nil {
			continue
		}
		at := standing{partition: part.id, next: part.committed.next, epoch: part.committed.leaderEpoch}
		r.done.Go(func() { s.read(ctx, part, at, r.feed) })
	}
	return r
}

func (r *readers) close() {
	r.stop()
	r.done.Wait()
}

// read fetches one partition until ctx ends, its stopAt is reached or the log does not fit the position.
func (s *session) read(ctx context.Context, part *partition, at standing, feed chan<- fed) {
	told := false // that there is nothing to read yet, so that the worker need not linger for this partition
	for failures := 0; part.stopAt < 0 || at.next < part.stopAt; {
		c, fault := s.fetchChecked(ctx, at, failures)
		if ctx.Err() != nil {
			return
		}
		if fault == nil && c == nil {
			failures++
			if pause(ctx, failures) != nil {
				return
			}
			continue
		}
		failures = 0
		if fault == nil && c.next == at.next && (told || !c.caughtUp()) {
			continue
		}
		told = fault == nil && c.caughtUp()
		select {
		case feed <- fed{part, c, fault}:
		case <-ctx.Done():
			return
		}
		if fault != nil {
			return
		}
		at.next = c.next
		if c.epoch >= 0 {
			at.epoch = c.epoch
		}
	}
}

// fetchChecked returns the next chunk, or the fault that keeps the partition from going on, or neither after an error
// that passes. It asks how the log stands after every error, again when the error has passed, since the topic may have
// been made anew meanwhile with the same leader epoch, and before a record of another leader is used.
func (s *session) fetchChecked(ctx context.Context, at standing, failures int) (*chunk, *HaltError) {
	c, err := s.log.fetch(ctx, at.partition, at.next)
	if ctx.Err() != nil {
		return nil, nil
	}
	switch {
	case err != nil && !errors.Is(err, errOffsetOutOfRange):
		s.cfg.Log.Warn("reading has to wait", "group", s.place.group, "topic", s.place.topic, "partition", at.partition, "attempt", failures+1, "error", err)
	case err == nil && c.logStart > at.next:
		return nil, s.place.haltGap(at, c.logStart)
	case err == nil && failures == 0 && at.next <= c.highWatermark && (c.firstEpoch() < 0 || at.epoch < 0 || c.firstEpoch() == at.epoch):
		return c, nil
	}
	faults, inspectErr := s.inspect(ctx, []standing{at})
	if inspectErr != nil {
		return nil, nil
	}
	if fault := faults[at.partition]; fault != nil {
		return nil, fault
	}
	if errors.Is(err, errOffsetOutOfRange) || err == nil && at.next > c.highWatermark {
		return nil, s.beyondEnd(ctx, at, failures)
	}
	return c, nil // nil after an error; otherwise the new leader's log holds all that was read
}

// beyondEnd decides on a position that the leader says is above its log although no epoch proves a truncation: a
// fresh leader's high watermark may lag for moments, so it takes some looks before the log counts as truncated.
func (s *session) beyondEnd(ctx context.Context, at standing, failures int) *HaltError {
	const looks = 8
	ends, err := s.cfg.Broker.Admin.ListEndOffsets(ctx, s.topic)
	if err != nil {
		return nil
	}
	end, ok := ends.Lookup(s.topic, int32(at.partition))
	if !ok || end.Err != nil || end.Offset >= at.next || failures < looks {
		return nil
	}
	return s.place.haltTruncated(at, end.Offset)
}
