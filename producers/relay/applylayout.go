package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/relaykey"
)

// selectEndSQL reads what saveEndSQL stored.
const selectEndSQL = `
SELECT next_offset FROM relay_partitions WHERE cluster_id = $1 AND topic_id = $2 AND partition = $3
ORDER BY next_offset DESC LIMIT 1`

// applyLayout takes a new layout over. A partition whose topic id or leader epoch has changed is inspected again.
func (t *term) applyLayout(ctx context.Context, found *layout) error {
	ctx, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	if err := t.notePublished(ctx); err != nil {
		return err
	}
	if newest, err := relaykey.Newest(ctx, t.conn); err != nil || newest > t.trust.terms[t.id] {
		if err == nil {
			err = errNewKey
		}
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
			if err := t.applyPartition(ctx, topicPartition{topic, number}, described, epoch); err != nil {
				return err
			}
		}
	}
	maps.DeleteFunc(t.partitions, func(at topicPartition, p *partition) bool {
		_, exists := found.topics[at.topic].epochs[at.partition]
		return !exists && !p.busy
	})
	return nil
}

func (t *term) applyPartition(ctx context.Context, at topicPartition, described topicLayout, epoch int32) error {
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
		p.requireInspection()
	default:
		p.sure, p.likely = p.likely, p.next
	}
	return nil
}

// partitionCount is the number of partitions of a topic.
func (t *term) partitionCount(topic string) int { return len(t.layout.topics[topic].epochs) }

// readEnd returns the stored end of a partition; it is not known of a topic that the relay has not inspected yet.
func readEnd(ctx context.Context, conn *pgx.Conn, cluster string, id kadm.TopicID, number int) (next int64, known bool, err error) {
	err = conn.QueryRow(ctx, selectEndSQL, cluster, [16]byte(id), number).Scan(&next)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read end of partition: %w", err)
	}
	return next, true, nil
}
