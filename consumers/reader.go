package consumers

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/retry"
)

// How long to wait before something is tried again.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = 5 * time.Second
)

// pause waits before the next attempt, from 0; it returns early with the context's error.
func pause(ctx context.Context, attempt int) error {
	return retry.Wait(ctx, retry.Delay(attempt, firstPause, mostPause, rand.Float64()))
}

// fetched is what a reader hands to its worker: a chunk, or the halt at which it stopped.
type fetched struct {
	part  *partition
	chunk *kafkalog.Chunk
	halt  *ledger.Halt
}

// readers fetch the partitions of one worker ahead of it, one goroutine and one request each.
type readers struct {
	feed chan fetched
	stop context.CancelFunc
	done sync.WaitGroup
}

// startReaders reads the partitions that are not halted, each from its committed position.
func (s *session) startReaders(ctx context.Context, parts []*partition) *readers {
	ctx, stop := context.WithCancel(ctx)
	r := &readers{feed: make(chan fetched), stop: stop}
	for _, part := range parts {
		if part.halted() {
			continue
		}
		at := kafkalog.At{Partition: part.id, Offset: part.next, Epoch: part.epoch}
		r.done.Go(func() { s.read(ctx, part, at, r.feed) })
	}
	return r
}

func (r *readers) close() {
	r.stop()
	r.done.Wait()
}

// read fetches one partition until ctx ends, its stopAt is reached or the log does not fit the position.
func (s *session) read(ctx context.Context, part *partition, at kafkalog.At, feed chan<- fetched) {
	told := false // that there is nothing to read yet, so that the worker need not linger for this partition
	for failures := 0; part.stopAt < 0 || at.Offset < part.stopAt; {
		c, halt := s.fetchChecked(ctx, at, failures)
		if ctx.Err() != nil {
			return
		}
		if halt == nil && c == nil {
			failures++
			if pause(ctx, failures) != nil {
				return
			}
			continue
		}
		failures = 0
		if halt == nil && c.Next == at.Offset && (told || !c.CaughtUp()) {
			c.Release()
			continue
		}
		told = halt == nil && c.CaughtUp()
		if halt == nil {
			at.Offset = c.Next
			if c.Epoch >= 0 {
				at.Epoch = c.Epoch
			}
		}
		select {
		case feed <- fetched{part, c, halt}:
		case <-ctx.Done():
			return
		}
		if halt != nil {
			return
		}
	}
}

// fetchChecked returns the next chunk, or the halt that keeps the partition from going on, or neither after an error
// that passes. It asks how the log stands after every error, again when the error has passed, since the topic may have
// been recreated meanwhile with the same leader epoch, and before a record of another leader is used.
func (s *session) fetchChecked(ctx context.Context, at kafkalog.At, failures int) (*kafkalog.Chunk, *ledger.Halt) {
	c, err := s.reader.Fetch(ctx, at.Partition, at.Offset)
	if ctx.Err() != nil {
		return nil, nil
	}
	switch {
	case err != nil && !errors.Is(err, kafkalog.ErrOffsetOutOfRange):
		s.cfg.Log.Warn("reading has to wait", "group", s.log.Group, "topic", s.log.Topic, "partition", at.Partition, "attempt", failures+1, "error", err)
	case err == nil && c.LogStart > at.Offset:
		return nil, s.gap(at, c.LogStart)
	case err == nil && failures == 0 && at.Offset <= c.HighWatermark && (c.FirstEpoch() < 0 || at.Epoch < 0 || c.FirstEpoch() == at.Epoch):
		return c, nil
	}
	halts, inspectErr := s.inspect(ctx, []kafkalog.At{at})
	if inspectErr != nil {
		return nil, nil
	}
	if halt := halts[at.Partition]; halt != nil {
		return nil, halt
	}
	if errors.Is(err, kafkalog.ErrOffsetOutOfRange) || err == nil && at.Offset > c.HighWatermark {
		return nil, s.beyondEnd(ctx, at, failures)
	}
	return c, nil // nil after an error; otherwise the new leader's log holds all that was read
}

// beyondEnd decides on a position that the leader says is above its log although no epoch proves a truncation: a
// fresh leader's high watermark may lag for moments, so it takes some looks before the log counts as truncated.
func (s *session) beyondEnd(ctx context.Context, at kafkalog.At, failures int) *ledger.Halt {
	const looks = 8
	_, end, err := kafkalog.Bounds(ctx, s.cfg.Broker, s.topic, at.Partition)
	if err != nil || end >= at.Offset || failures < looks {
		return nil
	}
	return s.truncated(at, end)
}
