package broker

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/applylens/applylens/internal/config"
)

// A broker that accepts connections and never answers keeps nobody waiting for ever, whatever their context.
func TestRequestsToASilentBrokerEnd(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	conn, err := Open(config.Kafka{KafkaBrokers: []string{listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	ctx := context.Background()
	for name, request := range map[string]func() error{
		"describe a topic": func() error { _, err := conn.DescribeTopic(ctx, "topic"); return err },
		"list offsets":     func() error { _, err := conn.Admin.ListStartOffsets(ctx, "topic"); return err },
		"kafka-go":         func() error { _, err := conn.Client.Metadata(ctx, &kafka.MetadataRequest{}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			if err := request(); err == nil {
				t.Error("a silent broker answered")
			}
			if took := time.Since(began); took > 2*(dialLimit+requestLimit+retryLimit) {
				t.Errorf("it took %s", took)
			}
		})
	}
}
