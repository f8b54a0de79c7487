package operate

import (
	"context"
	"errors"
	"fmt"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/postgres"
)

// Adopt accepts what Kafka now is. A recreated topic is read from its start, a truncated partition from where it was
// cut, one whose records are gone from its start; new partitions of a grown topic are read from their start; missing
// numbers of a relay term are given up; the count of dead letters starts anew. partition -1 stands for all.
func (o *Operator) Adopt(ctx context.Context, partition int) ([]Move, error) {
	moves, err := o.adopt(ctx, partition)
	if err != nil {
		return nil, fmt.Errorf("adopt: %w", err)
	}
	return moves, nil
}

func (o *Operator) adopt(ctx context.Context, partition int) (moves []Move, err error) {
	present, err := o.present(ctx)
	if err != nil {
		return nil, err
	}
	starts, ends, err := kafkalog.Ends(ctx, o.Config.Broker, o.topic())
	if err := kafkalog.UnlessPartial(err); len(starts) == 0 && err != nil {
		return nil, err
	}
	versions, err := o.versions(ctx)
	if err != nil {
		return nil, err
	}
	err = postgres.InTx(ctx, o.Config.Pool, func(tx *postgres.Tx) error {
		if err := ledger.AcceptCount(ctx, tx, present); err != nil {
			return err
		}
		for _, version := range versions {
			adopted, err := o.adoptVersion(ctx, tx, version, partition, present, starts, ends)
			if err != nil {
				return err
			}
			moves = append(moves, adopted...)
		}
		return nil
	})
	return moves, err
}

// adoptVersion replaces positions of a log that is gone by positions at the start of the new one. What that has by now may be a
// mirror of the old one. Of the log that is there it lets halted positions go on.
func (o *Operator) adoptVersion(ctx context.Context, tx *postgres.Tx, version, partition int, present ledger.Log, starts, ends map[int]int64) ([]Move, error) {
	log := present
	log.Version = version
	replaced, err := log.Replace(ctx, tx)
	if err != nil {
		return nil, err
	}
	if replaced {
		for id := range log.Partitions {
			if _, known := ends[id]; !known {
				return nil, fmt.Errorf("what partition %d of the new log repeats is not known to Kafka: it may have no leader", id)
			}
		}
		if err := log.AddPositions(ctx, tx, starts, ends); err != nil {
			return nil, err
		}
		o.audit(tx, "adopt", version, nil, 0, 0)
		return []Move{{Partition: -1, Was: string(ledger.ReasonRecreated)}}, nil
	}
	list, err := ledger.LockForMove(ctx, tx, log.Group, version, log.Topic, partition)
	if err != nil {
		return nil, err
	}
	var moves []Move
	for i := range list {
		at := &list[i]
		if at.State != ledger.StateHalted {
			continue
		}
		start, known := starts[at.Partition]
		if dependsOnLog := at.HaltReason == ledger.ReasonTruncated || at.HaltReason == ledger.ReasonGap; !known && dependsOnLog {
			return nil, fmt.Errorf("where the log of partition %d begins is not known to Kafka, so it may have no leader: adopt the others one by one, as TOPIC/PARTITION", at.Partition)
		}
		move, err := o.adoptPosition(ctx, tx, at, start)
		if err != nil {
			return nil, err
		}
		moves = append(moves, move)
	}
	return moves, nil
}

func (o *Operator) adoptPosition(ctx context.Context, tx *postgres.Tx, at *ledger.Movable, start int64) (Move, error) {
	move := Move{Partition: at.Partition, From: at.Next, To: at.Next, Was: string(at.HaltReason)}
	var err error
	switch at.HaltReason {
	case ledger.ReasonTruncated:
		if move.To, err = o.cutOf(ctx, at, start); err != nil {
			return move, err
		}
	case ledger.ReasonGap:
		move.To = max(start, at.Next)
		move.Lost = move.To - at.Next
	}
	if at.HaltReason == ledger.ReasonGap || at.HaltReason == ledger.ReasonSequence {
		if err := o.giveUpMissing(ctx, tx, at, move.To); err != nil {
			return move, err
		}
	}
	at.Move(tx, move.To, move.Lost, 0)
	o.audit(tx, "adopt", at.Version, &at.Partition, move.From, move.To)
	return move, nil
}

// cutOf returns where the log of a truncated partition was cut. It is not the log's end: what was written since the
// cut has not been read, and what the relay published again counts as repeats. Without an epoch to ask for it is the
// log's start, for the same reason.
func (o *Operator) cutOf(ctx context.Context, at *ledger.Movable, start int64) (int64, error) {
	if at.LeaderEpoch < 0 {
		return start, nil
	}
	ends, err := kafkalog.EpochEnds(ctx, o.Config.Broker, o.topic(), []kafkalog.At{{Partition: at.Partition, Offset: at.Next, Epoch: at.LeaderEpoch}})
	if err != nil {
		return 0, err
	}
	end, known := ends[at.Partition]
	if !known {
		return 0, errors.New("where the log was cut is not known to Kafka: the partition may have no leader")
	}
	return max(start, min(end, at.Next)), nil
}
