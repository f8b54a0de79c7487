package kafkalog_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestPeekReadsWhatAnyProducerWrites(t *testing.T) {
	w := world.New(t).Kfake()
	topic := w.Conn.Topic(events.TopicActions)
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	offset := int64(0)
	for name, codec := range codecs {
		producer, err := kgo.NewClient(kgo.SeedBrokers(w.Conn.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec))
		world.Must(t, err)
		defer producer.Close()
		large := make([]byte, 200_000)
		for i := range large {
			large[i] = byte(i / 100)
		}
		records := []*kgo.Record{
			{Topic: topic, Key: []byte("key"), Value: []byte(name), Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("1")}, {Key: "empty", Value: []byte{}}, {Key: "", Value: []byte("unnamed")}}},
			{Topic: topic, Key: nil, Value: nil},
			{Topic: topic, Key: []byte{}, Value: large},
		}
		world.Must(t, producer.ProduceSync(t.Context(), records...).FirstErr())
		for i, want := range records {
			t.Run(fmt.Sprint(name, " ", i), func(t *testing.T) {
				got, found, err := kafkalog.Peek(t.Context(), w.Conn, topic, 0, offset)
				world.Must(t, err)
				if !found || got.Offset != offset {
					t.Fatalf("found %t at %d, want %d", found, got.Offset, offset)
				}
				if diff := cmp.Diff(want.Key, got.Key); diff != "" {
					t.Error("key:", diff)
				}
				if !bytes.Equal(want.Value, got.Value) || (want.Value == nil) != (got.Value == nil) {
					t.Errorf("a value of %d bytes instead of %d, or other ones", len(got.Value), len(want.Value))
				}
				var headers []kgo.RecordHeader
				for _, h := range got.Headers {
					headers = append(headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
				}
				if diff := cmp.Diff(want.Headers, headers); diff != "" {
					t.Error("headers:", diff)
				}
			})
			offset++
		}
	}
}
