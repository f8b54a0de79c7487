package embedded

import (
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kfake"
)

// broker is the Kafka broker within this process.
type broker struct {
	cluster *kfake.Cluster
	addr    string
}

// startBroker opens the topics and groups in dir. Records are on disk before they are acknowledged.
func startBroker(dir string, state *state) (*broker, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ClusterID(state.ClusterID),
		kfake.Ports(state.KafkaPort),
		kfake.DefaultNumPartitions(6),
		kfake.DataDir(dir),
		kfake.SyncWrites(),
	)
	if err != nil {
		return nil, fmt.Errorf("start the in-process Kafka broker: %w", err)
	}
	return &broker{cluster: cluster, addr: fmt.Sprintf("127.0.0.1:%d", state.KafkaPort)}, nil
}

func (b *broker) close() { b.cluster.Close() }
