package relay

import (
	"context"
	"maps"

	"github.com/applylens/applylens/events"
)

// adopt compares a layout with the last one. A new topic id or leader epoch puts what was published in doubt.
func (t *term) adopt(ctx context.Context, found *layout) error {
	ctx, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	if err := t.mark(ctx); err != nil {
		return err
	}
	t.layout, t.topics = found, nil
	for _, topic := range events.Topics {
		described, ok := found.topics[topic]
		if !ok {
			continue
		}
		t.topics = append(t.topics, topic)
		for number, epoch := range described.epochs {
			if err := t.adoptPartition(ctx, place{topic, number}, described, epoch); err != nil {
				return err
			}
		}
	}
	maps.DeleteFunc(t.partitions, func(at place, p *partition) bool {
		_, exists := found.topics[at.topic].epochs[at.partition]
		return !exists && !p.busy
	})
	return nil
}

func (t *term) adoptPartition(ctx context.Context, at place, described topicLayout, epoch int32) error {
	p := t.partitions[at]
	switch {
	case p == nil || p.topicID != described.id:
		next, known, err := readEnd(ctx, t.conn, t.layout.cluster, described.id, at.partition)
		if err != nil {
			return err
		}
		fresh := newPartition(at, described.id, epoch, max(smallestLimit, min(t.BatchBytes, described.limit-topicOverheads)))
		fresh.known, fresh.next, fresh.sure, fresh.likely = known, next, next, next
		fresh.busy = p != nil && p.busy // one request in flight, whatever becomes of the topic
		t.partitions[at] = fresh
	case p.epoch != epoch:
		p.epoch, p.moved = epoch, true
		p.doubt()
	default:
		p.sure, p.likely = p.likely, p.next
	}
	return nil
}

// partitionCount is the number of partitions of a topic.
func (t *term) partitionCount(topic string) int { return len(t.layout.topics[topic].epochs) }
