package world

import (
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// Kfake adds a broker in this process.
func (w *World) Kfake(options ...kfake.Opt) *World {
	w.Helper()
	cluster, settings := testenv.Kfake(w.TB, options...)
	w.Cluster = cluster
	return w.Join(settings)
}

// Kafka adds the real brokers of KAFKA_BROKERS. The test skips when the variable is unset.
func (w *World) Kafka() *World {
	w.Helper()
	return w.Join(testenv.Kafka(w.TB))
}

// Join adds the brokers of the settings, and creates our topics there.
func (w *World) Join(settings config.Kafka) *World {
	w.Helper()
	conn, err := broker.Open(settings)
	w.Must(err)
	w.Cleanup(conn.Close)
	w.Must(conn.EnsureTopics(w.Context(), broker.Layout{Partitions: w.Partitions, ReplicationFactor: 1}))
	w.Settings, w.Conn = settings, conn
	w.Producer = w.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return w
}

// Client returns another client of the brokers, which is closed when the test ends.
func (w *World) Client(options ...kgo.Opt) *kgo.Client {
	w.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.Settings.KafkaBrokers...)}, options...)...)
	w.Must(err)
	w.Cleanup(client.Close)
	return client
}

// ofLeaders are the requests that a partition without a leader is not served by, and metadata, which tells that.
var ofLeaders = []kmsg.Key{kmsg.Metadata, kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.OffsetForLeaderEpoch, kmsg.DeleteRecords, kmsg.DescribeProducers}

// Leaderless takes the leader of a partition of an in-process broker away until the returned function is called: metadata
// names none, and no broker serves the partition.
func (w *World) Leaderless(topic string, partition int) (restore func()) {
	w.Helper()
	fault := w.Cluster.Fault(kfake.Fault{Keys: ofLeaders, Topic: w.Conn.Topic(topic), Partitions: []int32{int32(partition)}, Err: kerr.LeaderNotAvailable, Count: -1})
	return func() { fault.Remove() }
}

// Ends returns the end offset of each partition of a topic.
func (w *World) Ends(topic string) (map[int32]int64, error) {
	listed, err := w.Conn.Admin.ListEndOffsets(w.Context(), w.Conn.Topic(topic))
	if err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	listed.Each(func(end kadm.ListedOffset) { ends[end.Partition] = end.Offset })
	return ends, listed.Error()
}

// DeleteBefore makes the log of a partition begin at offset, as retention does.
func (w *World) DeleteBefore(topic string, partition int, offset int64) {
	w.Helper()
	var before kadm.Offsets
	before.AddOffset(w.Conn.Topic(topic), int32(partition), offset, -1)
	deleted, err := w.Conn.Admin.DeleteRecords(w.Context(), before)
	w.Must(err)
	w.Must(deleted.Error())
}

// RecreateTopic deletes a topic with its records, and makes another of the same name.
func (w *World) RecreateTopic(topic string) {
	w.Helper()
	name := w.Conn.Topic(topic)
	deleted, err := w.Conn.Admin.DeleteTopics(w.Context(), name)
	w.Must(err)
	w.Must(deleted.Error())
	created, err := w.Conn.Admin.CreateTopics(w.Context(), int32(w.Partitions), 1, nil, name)
	w.Must(err)
	w.Must(created.Error())
	w.Producer.PurgeTopicsFromClient(name)
}

// CommitOffsets commits a group's offsets of partition 0, partition 1 and so on; the group must have no member.
func (w *World) CommitOffsets(group, topic string, offsets ...int64) {
	w.Helper()
	var all kadm.Offsets
	for partition, offset := range offsets {
		all.AddOffset(w.Conn.Topic(topic), int32(partition), offset, -1)
	}
	w.Must(w.Conn.Admin.CommitAllOffsets(w.Context(), w.Conn.GroupID(group), all))
}

// CommittedOffsets returns what Kafka holds as a group's offset of each partition that has one.
func (w *World) CommittedOffsets(group, topic string) (map[int32]int64, error) {
	fetched, err := w.Conn.Admin.FetchOffsets(w.Context(), w.Conn.GroupID(group))
	if err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	fetched.Each(func(o kadm.OffsetResponse) {
		if o.Topic == w.Conn.Topic(topic) {
			offsets[o.Partition] = o.At
		}
	})
	return offsets, fetched.Error()
}
