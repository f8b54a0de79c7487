package kafkalog

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/internal/broker"
)

// Ends returns the first offset of every partition of a topic, and the last stable one, up to which records can be read.
// The topic is named as Kafka knows it. Offsets of partitions without a leader are missing, and the error names them.
func Ends(ctx context.Context, conn *broker.Conn, topic string) (starts, ends map[int]int64, err error) {
	starts, err = Starts(ctx, conn, topic)
	if err != nil {
		return starts, nil, err
	}
	listed, err := conn.Admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return starts, nil, fmt.Errorf("list end offsets: %w", err)
	}
	ends, err = known(listed, topic)
	if err != nil {
		return starts, ends, fmt.Errorf("list end offsets: %w", err)
	}
	return starts, ends, nil
}

// Starts returns the first offset of every partition of a topic, as Ends does.
func Starts(ctx context.Context, conn *broker.Conn, topic string) (map[int]int64, error) {
	listed, err := conn.Admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	starts, err := known(listed, topic)
	if err != nil {
		return starts, fmt.Errorf("list start offsets: %w", err)
	}
	return starts, nil
}

func known(listed kadm.ListedOffsets, topic string) (map[int]int64, error) {
	offsets := map[int]int64{}
	var faults []error
	for partition, offset := range listed[topic] {
		if offset.Err != nil {
			faults = append(faults, fmt.Errorf("%s/%d: %w", topic, partition, offset.Err))
			continue
		}
		offsets[int(partition)] = offset.Offset
	}
	return offsets, errors.Join(faults...)
}

// At is an offset of a partition and the leader epoch of the record before it; -1 when that is unknown.
type At struct {
	Partition int
	Offset    int64
	Epoch     int32
}

// EpochEnds asks where the leaders' epochs end (KIP-320): the offset behind the last record that the leader of that epoch
// wrote. Partitions of unknown epochs and those for which Kafka has no answer are missing. An end below the offset means
// that the log was truncated, also when it has grown past it since.
func EpochEnds(ctx context.Context, conn *broker.Conn, topic string, list []At) (map[int]int64, error) {
	var request kadm.OffsetForLeaderEpochRequest
	for _, at := range list {
		if at.Epoch >= 0 {
			request.Add(topic, int32(at.Partition), at.Epoch)
		}
	}
	ends := map[int]int64{}
	if len(request) == 0 {
		return ends, nil
	}
	answers, err := conn.Admin.OffsetForLeaderEpoch(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("ask for the ends of leader epochs: %w", err)
	}
	for partition, answer := range answers[topic] {
		if answer.Err == nil && answer.EndOffset >= 0 {
			ends[int(partition)] = answer.EndOffset
		}
	}
	return ends, nil
}
