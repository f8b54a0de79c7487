package oracle

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Log is the log to read, and what to trust in it.
type Log struct {
	Brokers []string
	Prefix  string   // of topics
	Topics  []string // without prefix. Default: all topics
	Trust   Trust
}

// Trust distinguishes the deployment's own events from forged ones.
type Trust struct {
	Source string         // the deployment's ce_source
	Relays map[string]int // the number of the key of each id in table relays; 0: none
	Keys   map[int][]byte // by number
}

// Trusted reads the Trust of a deployment.
func Trusted(ctx context.Context, pool *pgxpool.Pool) (Trust, error) {
	trust := Trust{Relays: map[string]int{}, Keys: map[int][]byte{}}
	if err := pool.QueryRow(ctx, "SELECT '/applylens/' || id FROM deployment").Scan(&trust.Source); err != nil {
		return trust, fmt.Errorf("read deployment: %w", err)
	}
	rows, err := pool.Query(ctx, "SELECT relay_id::text, coalesce(number, 0), key FROM relays LEFT JOIN relay_keys ON number = key_number")
	if err != nil {
		return trust, fmt.Errorf("read relays: %w", err)
	}
	var id string
	var number int
	var key []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &number, &key}, func() error {
		trust.Relays[id], trust.Keys[number] = number, bytes.Clone(key)
		return nil
	}); err != nil {
		return trust, fmt.Errorf("read relays: %w", err)
	}
	return trust, nil
}

// Read folds the log from its start to its current end, read committed. It returns an error for a record that would halt a
// group, such as one of an unknown type.
func Read(ctx context.Context, log Log) (*Expected, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(log.Brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return nil, fmt.Errorf("prepare Kafka client: %w", err)
	}
	defer client.Close()
	folder := &folder{trust: log.Trust, expected: newExpected(), partitions: map[string]int{}, effects: map[effect]string{}}
	left, err := folder.begin(ctx, client, log)
	if err != nil {
		return nil, err
	}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		for _, record := range fetches.Records() {
			place := placeOf(record, log.Prefix)
			if end, reading := left[place.Partition]; !reading || place.Offset >= end {
				continue
			}
			if !record.Attrs.IsControl() {
				folder.expected.Records[place.Partition]++
				if err := folder.fold(place, record); err != nil {
					return nil, fmt.Errorf("fold %s: %w", place, err)
				}
			}
			if place.Offset+1 == left[place.Partition] {
				delete(left, place.Partition)
			}
		}
	}
	return folder.expected, nil
}

// begin makes the client read every partition from its start, and returns the ends of non-empty ones.
func (f *folder) begin(ctx context.Context, client *kgo.Client, log Log) (map[Partition]int64, error) {
	names := make([]string, 0, len(log.Topics))
	for _, topic := range log.Topics {
		names = append(names, log.Prefix+topic)
	}
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	left, from := map[Partition]int64{}, map[string]map[int32]kgo.Offset{}
	var fault error
	ends.Each(func(end kadm.ListedOffset) {
		topic, ours := strings.CutPrefix(end.Topic, log.Prefix)
		if !ours || !strings.HasPrefix(topic, "applylens.") {
			return
		}
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if end.Err != nil || start.Err != nil {
			fault = fmt.Errorf("list the offsets of %s/%d: %w", end.Topic, end.Partition, end.Err)
			return
		}
		f.partitions[topic]++
		f.expected.Ends[Partition{topic, end.Partition}] = end.Offset
		if start.Offset == end.Offset {
			return
		}
		left[Partition{topic, end.Partition}] = end.Offset
		if from[end.Topic] == nil {
			from[end.Topic] = map[int32]kgo.Offset{}
		}
		from[end.Topic][end.Partition] = kgo.NewOffset().At(start.Offset)
	})
	client.AddConsumePartitions(from)
	return left, fault
}

func placeOf(record *kgo.Record, prefix string) Place {
	return Place{Partition{strings.TrimPrefix(record.Topic, prefix), record.Partition}, record.Offset}
}
