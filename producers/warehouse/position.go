package warehouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// findPlace finds where to resume, and holds if the topic was recreated or truncated.
func (r *topicReader) findPlace(ctx context.Context) error {
	var err error
	if r.found, err = r.topic.Broker.DescribeTopic(ctx, r.topic.Topic); err != nil {
		return err
	}
	starts, err := r.topic.Broker.Admin.ListStartOffsets(ctx, r.topic.Topic)
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	ends, err := r.topic.Broker.Admin.ListCommittedOffsets(ctx, r.topic.Topic)
	if err = errors.Join(err, starts.Error(), ends.Error()); err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	stored, err := r.stored(ctx)
	if err != nil {
		return err
	}
	if hold := r.compareLog(stored, starts, ends); hold != nil {
		return r.passLog(ctx, hold, starts)
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
func (r *topicReader) compareLog(stored map[int32]position, starts, ends kadm.ListedOffsets) *Hold {
	r.next, r.ends = map[int32]int64{}, map[int32]int64{}
	var faults []Hold
	starts.Each(func(start kadm.ListedOffset) {
		end, _ := ends.Lookup(start.Topic, start.Partition)
		r.next[start.Partition], r.ends[start.Partition] = start.Offset, end.Offset
		before, known := stored[start.Partition]
		if !known {
			return
		}
		r.next[start.Partition] = before.next
		switch {
		case before.cluster != r.found.Cluster || before.id != r.found.ID:
			faults = append(faults, Hold{HoldLog, fmt.Sprintf("partition %d belongs to a recreated topic of that name", start.Partition)})
		case before.next < start.Offset:
			faults = append(faults, Hold{HoldLog, fmt.Sprintf("%d records of partition %d were deleted unread", start.Offset-before.next, start.Partition)})
		case before.next > end.Offset:
			faults = append(faults, Hold{HoldLog, fmt.Sprintf("partition %d ends at %d, before the position %d", start.Partition, end.Offset, before.next)})
		}
	})
	slices.SortFunc(faults, func(a, b Hold) int { return cmp.Compare(a.Detail, b.Detail) })
	return join(faults)
}

// passLog holds the sync, or restarts at the log start offset if that was accepted.
func (r *topicReader) passLog(ctx context.Context, hold *Hold, starts kadm.ListedOffsets) error {
	if passes, err := r.pass(ctx, r.summary, hold, 0, r.who); err != nil || !passes {
		return err
	}
	if _, err := r.conn.Exec(ctx, deletePositions, r.source); err != nil {
		return fmt.Errorf("delete positions: %w", err)
	}
	r.compareLog(nil, starts, kadm.ListedOffsets{})
	return r.refreshEnds(ctx)
}

func (r *topicReader) refreshEnds(ctx context.Context) error {
	ends, err := r.topic.Broker.Admin.ListCommittedOffsets(ctx, r.topic.Topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	ends.Each(func(end kadm.ListedOffset) { r.ends[end.Partition] = end.Offset })
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
