package kafkalog_test

import (
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestBoundsReachBeyondAnOpenTransaction(t *testing.T) {
	w := world.New(t).Kfake()
	topic := w.Conn.Topic(events.TopicActions)
	client := w.Client(kgo.TransactionalID("open"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.Must(client.BeginTransaction())
	for range 2 {
		w.Must(client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: 1, Value: []byte("open")}).FirstErr())
	}
	first, highWatermark, err := kafkalog.Bounds(t.Context(), w.Conn, topic, 1)
	w.Must(err)
	if first != 0 || highWatermark != 2 {
		t.Errorf("the log holds %d to %d, want 0 to 2", first, highWatermark)
	}
	starts, ends, err := kafkalog.Ends(t.Context(), w.Conn, topic)
	w.Must(err)
	if starts[1] != 0 || ends[1] != 0 {
		t.Errorf("%d to %d can be read, want nothing", starts[1], ends[1])
	}
}

func TestOffsetsOfPartitionsBesideOneWithoutALeader(t *testing.T) {
	w := world.New(t).Kfake()
	topic := w.Conn.Topic(events.TopicActions)
	w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.LeaderNotAvailable, Count: -1, Topic: topic, Partitions: []int32{1}})
	for partition, failing := range []bool{false, true, false} {
		if _, _, err := kafkalog.Bounds(t.Context(), w.Conn, topic, partition); (err != nil) != failing {
			t.Errorf("bounds of partition %d: %v, want an error: %t", partition, err, failing)
		}
	}
	starts, ends, err := kafkalog.Ends(t.Context(), w.Conn, topic)
	if err == nil {
		t.Error("no error tells of the partition without a leader")
	}
	want := map[int]int64{0: 0, 2: 0}
	if !maps.Equal(starts, want) || !maps.Equal(ends, want) {
		t.Errorf("starts %v and ends %v, want %v", starts, ends, want)
	}
}
