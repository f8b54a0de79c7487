package warehouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/internal/kafkalog"
)

// findPlace finds where to resume, and holds if the topic was recreated or truncated. Partitions of which Kafka does not tell
// the ends, as they may have no leader, are left to a later session.
func (r *topicReader) findPlace(ctx context.Context) error {
	var err error
	if r.found, err = r.topic.Broker.DescribeTopic(ctx, r.topic.Topic); err != nil {
		return err
	}
	starts, ends, unread := kafkalog.Ends(ctx, r.topic.Broker, r.topic.Topic)
	maps.DeleteFunc(starts, func(partition int, _ int64) bool {
		_, known := ends[partition]
		return !known
	})
	if unread != nil && len(starts) == 0 {
		return unread
	}
	r.unread = unread
	stored, err := r.stored(ctx)
	if err != nil {
		return err
	}
	if hold := r.compareLog(stored, starts, ends); hold != nil {
		return r.passLog(ctx, hold, starts, ends)
	}
	return nil
}

// position is the next offset of a partition, and the topic's identity.
type position struct {
	partition int32
	cluster   string
	id        [16]byte
	next      int64
}

func (r *topicReader) stored(ctx context.Context) (map[int32]position, error) {
	rows, err := r.conn.Query(ctx, selectPositions, r.source)
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	found := map[int32]position{}
	var p position
	_, err = pgx.ForEachRow(rows, []any{&p.partition, &p.cluster, &p.id, &p.next}, func() error {
		found[p.partition] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	return found, nil
}

// compareLog sets the positions to the stored ones, or to the log start offset where there is none, and returns what is
// wrong.
func (r *topicReader) compareLog(stored map[int32]position, starts, ends map[int]int64) *Hold {
	r.next, r.ends = map[int32]int64{}, map[int32]int64{}
	var faults []Hold
	for number, start := range starts {
		partition, end := int32(number), ends[number]
		r.next[partition], r.ends[partition] = start, end
		before, known := stored[partition]
		if !known {
			continue
		}
		r.next[partition] = before.next
		switch {
		case before.cluster != r.found.Cluster || before.id != r.found.ID:
			faults = append(faults, Hold{HoldLog, fmt.Sprintf("partition %d belongs to a recreated topic of that name", partition)})
		case before.next < start:
			faults = append(faults, Hold{HoldLog, fmt.Sprintf("%d records of partition %d were deleted unread", start-before.next, partition)})
		case before.next > end:
			faults = append(faults, Hold{HoldLog, fmt.Sprintf("partition %d ends at %d, before the position %d", partition, end, before.next)})
		}
	}
	slices.SortFunc(faults, func(a, b Hold) int { return cmp.Compare(a.Detail, b.Detail) })
	return join(faults)
}

// passLog holds the sync, or restarts at the log start offset if that was accepted.
func (r *topicReader) passLog(ctx context.Context, hold *Hold, starts, ends map[int]int64) error {
	if passes, err := r.pass(ctx, r.summary, hold, 0, r.who); err != nil || !passes {
		return err
	}
	if _, err := r.conn.Exec(ctx, deletePositions, r.source); err != nil {
		return fmt.Errorf("delete positions: %w", err)
	}
	r.compareLog(nil, starts, ends)
	return nil
}

var errMoved = errors.New("another process has moved the position in the topic")

// advance moves the positions past records, which are in order within each partition.
func (r *topicReader) advance(ctx context.Context, tx pgx.Tx, records []*kgo.Record) error {
	behind := map[int32]int64{}
	for _, record := range records {
		behind[record.Partition] = record.Offset + 1
	}
	for partition, next := range behind {
		tag, err := tx.Exec(ctx, putPosition, r.source, partition, r.found.Cluster, r.found.ID, r.next[partition], next)
		if err != nil {
			return fmt.Errorf("move the position: %w", err)
		}
		if tag.RowsAffected() != 1 {
			return errMoved
		}
	}
	return nil
}
