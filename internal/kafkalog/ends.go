package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/internal/broker"
)

// Ends returns the first offset of every partition of a topic, and the last stable one, up to which records can be read.
// The topic is named as Kafka knows it. The error tells of partitions that could not be asked, such as those without a
// leader: they are missing, and the offsets of the others are there all the same.
func Ends(ctx context.Context, conn *broker.Conn, topic string) (starts, ends map[int]int64, err error) {
	starts, err = Starts(ctx, conn, topic)
	listed, endErr := conn.Admin.ListCommittedOffsets(ctx, topic)
	ends, endErr = known(listed, topic, endErr)
	if endErr != nil {
		err = errors.Join(err, fmt.Errorf("list end offsets: %w", endErr))
	}
	return starts, ends, err
}

// Starts returns the first offset of every partition of a topic, as Ends does.
func Starts(ctx context.Context, conn *broker.Conn, topic string) (map[int]int64, error) {
	listed, err := conn.Admin.ListStartOffsets(ctx, topic)
	starts, err := known(listed, topic, err)
	if err != nil {
		return starts, fmt.Errorf("list start offsets: %w", err)
	}
	return starts, nil
}

// HighWatermarks returns where the log of every partition of a topic ends, as Ends does, but whatever can be read of it: open
// transactions do not hold it back.
func HighWatermarks(ctx context.Context, conn *broker.Conn, topic string) (map[int]int64, error) {
	listed, err := conn.Admin.ListEndOffsets(ctx, topic)
	marks, err := known(listed, topic, err)
	if err != nil {
		return marks, fmt.Errorf("list high watermarks: %w", err)
	}
	return marks, nil
}

// Bounds returns the first offset of one partition and its high watermark, behind the last record of any kind: open
// transactions do not hold it back. Only the partition's leader is asked, so that no other partition's fault is one here.
func Bounds(ctx context.Context, conn *broker.Conn, topic string, partition int) (first, highWatermark int64, err error) {
	response, err := conn.Client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)}},
	})
	if err != nil {
		return 0, 0, fmt.Errorf("list offsets of %s/%d: %w", topic, partition, err)
	}
	for _, found := range response.Topics[topic] {
		switch {
		case found.Partition != partition:
		case found.Error != nil:
			return 0, 0, fmt.Errorf("list offsets of %s/%d: %w", topic, partition, found.Error)
		default:
			return found.FirstOffset, found.LastOffset, nil
		}
	}
	return 0, 0, fmt.Errorf("list offsets of %s/%d: the answer does not name the partition", topic, partition)
}

// UnlessPartial returns nil for the error of a request to several leaders of which some have answered, or which named
// partitions without a leader: those partitions are missing in the answer, and nothing else is.
func UnlessPartial(err error) error {
	var some *kadm.ShardErrors
	if errors.As(err, &some) {
		return nil
	}
	return err
}

// unanswered names the partitions of which nothing was heard.
type unanswered struct {
	partitions []int32
	cause      *kadm.ShardErrors
}

func (u *unanswered) Error() string {
	return fmt.Sprintf("no answer about partitions %v: %v", u.partitions, u.cause)
}

func (u *unanswered) Unwrap() error { return u.cause }

// named names the partitions that an error about some of them is about.
func named(err error) error {
	var some *kadm.ShardErrors
	if !errors.As(err, &some) {
		return err
	}
	u := &unanswered{cause: some}
	for _, failed := range some.Errs {
		request, _ := failed.Req.(*kmsg.ListOffsetsRequest)
		if request == nil {
			continue
		}
		for _, topic := range request.Topics {
			for _, p := range topic.Partitions {
				u.partitions = append(u.partitions, p.Partition)
			}
		}
	}
	slices.Sort(u.partitions)
	return u
}

// known returns the offsets that were listed, and joins the faults of the others with err.
func known(listed kadm.ListedOffsets, topic string, err error) (map[int]int64, error) {
	offsets := map[int]int64{}
	faults := []error{named(err)}
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
// wrote. Partitions of unknown epochs and those for which Kafka has no answer, such as those without a leader, are missing. An end below the offset means
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
	if err := UnlessPartial(err); err != nil {
		return nil, fmt.Errorf("ask for the ends of leader epochs: %w", err)
	}
	for partition, answer := range answers[topic] {
		if answer.Err == nil && answer.EndOffset >= 0 {
			ends[int(partition)] = answer.EndOffset
		}
	}
	return ends, nil
}
