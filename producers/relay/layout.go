package relay

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/retry"
)

// layout is what Kafka tells about our topics.
type layout struct {
	at      time.Time // when it was asked for
	cluster string
	topics  map[string]topicLayout // by name without prefix; a topic that does not exist is absent
}

type topicLayout struct {
	id     kadm.TopicID
	epochs map[int]int32 // of the leaders, by partition; a partition without a leader is there too
	limit  int           // max.message.bytes
}

// watcher keeps asking Kafka for the layout.
type watcher struct {
	conn   *broker.Conn
	limits map[kadm.TopicID]int
	out    chan *layout
	failed func(error)
}

// run hands out layouts until ctx ends.
func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = retry.Until(ctx, layoutRetry, 2*layoutEvery, func(int) error {
			found, err := w.ask(ctx)
			if err != nil {
				w.failed(err)
				return err
			}
			w.hand(found)
			return nil
		})
		_ = retry.Wait(ctx, layoutEvery)
	}
}

// hand offers a layout, in place of one that was not taken.
func (w *watcher) hand(found *layout) {
	select {
	case <-w.out:
	default:
	}
	w.out <- found
}

func (w *watcher) ask(ctx context.Context) (*layout, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	found := &layout{at: time.Now(), topics: map[string]topicLayout{}}
	names := make([]string, len(events.Topics))
	for i, topic := range events.Topics {
		names[i] = w.conn.Topic(topic)
	}
	metadata, err := w.conn.Admin.Metadata(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for the topics: %w", err)
	}
	found.cluster = metadata.Cluster
	for i, topic := range events.Topics {
		detail, ok := metadata.Topics[names[i]]
		if !ok || detail.Err != nil {
			continue
		}
		if found.topics[topic], err = w.describe(ctx, detail); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (w *watcher) describe(ctx context.Context, detail kadm.TopicDetail) (topicLayout, error) {
	t := topicLayout{id: detail.ID, epochs: make(map[int]int32, len(detail.Partitions))}
	for number, partition := range detail.Partitions {
		t.epochs[int(number)] = partition.LeaderEpoch
	}
	limit, ok := w.limits[detail.ID]
	if !ok {
		var err error
		if limit, err = w.maxMessageBytes(ctx, detail.Topic); err != nil {
			return topicLayout{}, err
		}
		w.limits[detail.ID] = limit
	}
	t.limit = limit
	return t, nil
}

func (w *watcher) maxMessageBytes(ctx context.Context, topic string) (int, error) {
	configs, err := w.conn.Admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("ask for max.message.bytes of %s: %w", topic, err)
	}
	for _, config := range configs {
		for _, entry := range config.Configs {
			if n, err := strconv.Atoi(entry.MaybeValue()); err == nil && entry.Key == "max.message.bytes" {
				return n, nil
			}
		}
	}
	return 1 << 20, nil // the topic does not say; refused batches are halved
}
