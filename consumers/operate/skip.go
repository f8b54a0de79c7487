package operate

import (
	"context"
	"fmt"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/printable"
)

// reasonSkipped marks the dead letters that an operator made of records that were not read.
const reasonSkipped = "skipped"

// CheckSkip returns an error if Skip cannot pass over the records below offset to, as far as the log tells.
func (o *Operator) CheckSkip(ctx context.Context, partition int, to int64) error {
	_, err := o.startForSkip(ctx, partition, to)
	return err
}

// startForSkip returns the log's start.
func (o *Operator) startForSkip(ctx context.Context, partition int, to int64) (int64, error) {
	starts, ends, err := kafkalog.Ends(ctx, o.Config.Broker, o.topic())
	end, known := ends[partition]
	start, begins := starts[partition]
	known = known && begins // then an error is about other partitions
	switch {
	case !known && err != nil:
		return 0, fmt.Errorf("skip: %w", err)
	case !known:
		return 0, fmt.Errorf("skip: the topic has no partition %d", partition)
	case to > end:
		return 0, fmt.Errorf("skip: the log of partition %d ends at %d, below %d", partition, end, to)
	case to < 0:
		return 0, fmt.Errorf("skip: %d is below 0", to)
	}
	return start, nil
}

// Skip passes over the records below offset to: those that can be read become dead letters, those that are missing
// are counted as lost. Every rebuild honours it.
func (o *Operator) Skip(ctx context.Context, partition int, to int64) ([]Move, error) {
	start, err := o.startForSkip(ctx, partition, to)
	if err != nil {
		return nil, err
	}
	present, err := o.present(ctx)
	if err != nil {
		return nil, fmt.Errorf("skip: %w", err)
	}
	versions, err := o.versions(ctx)
	if err != nil {
		return nil, fmt.Errorf("skip: %w", err)
	}
	var moves []Move
	for _, version := range versions {
		moved, err := o.skipVersion(ctx, version, partition, present, start, to)
		if err != nil {
			return moves, fmt.Errorf("skip: %w", err)
		}
		if moved.From < moved.To {
			moves = append(moves, moved)
		}
	}
	if len(moves) == 0 {
		return nil, fmt.Errorf("skip: the position of partition %d is not below %d", partition, to)
	}
	return moves, nil
}

// skipVersion moves step by step, each in a transaction of its own, so that memory stays bounded.
func (o *Operator) skipVersion(ctx context.Context, version, partition int, present ledger.Log, start, to int64) (Move, error) {
	var total *Move
	for {
		var step Move
		err := postgres.InTx(ctx, o.Config.Pool, func(tx *postgres.Tx) error {
			list, err := ledger.LockForMove(ctx, tx, present.Group, version, present.Topic, partition)
			if err != nil {
				return err
			}
			at := &list[0]
			if at.TopicID != present.TopicID {
				return errOtherLog
			}
			at.Partitions = present.Partitions
			step, err = o.skipStep(ctx, tx, at, start, to)
			return err
		})
		if err != nil {
			return Move{}, err
		}
		if total == nil {
			total = &Move{Partition: partition, From: step.From, To: step.From, Was: step.Was}
		}
		total.To, total.Lost, total.Skipped = step.To, total.Lost+step.Lost, total.Skipped+step.Skipped
		if step.To >= to {
			return *total, nil
		}
	}
}

func (o *Operator) skipStep(ctx context.Context, tx *postgres.Tx, at *ledger.Movable, start, to int64) (Move, error) {
	move := Move{Partition: at.Partition, From: at.Next, To: at.Next, Was: string(at.HaltReason)}
	if at.Next >= to {
		return move, nil // this version is past it, and a halt that it may have is about something else
	}
	if at.Next < start {
		move.To = min(start, to)
		move.Lost = move.To - at.Next
		if move.To == start {
			if err := o.giveUpMissing(ctx, tx, at, start); err != nil {
				return move, err
			}
		}
	} else if err := o.skipRecords(ctx, tx, at, to, &move); err != nil {
		return move, err
	}
	at.Move(tx, move.To, move.Lost, move.Skipped)
	o.audit(tx, "skip", at.Version, &at.Partition, move.From, move.To)
	return move, nil
}

// stepBytes bounds the dead letters of one step: what one fetch returns may unpack to gigabytes.
const stepBytes = 16 << 20

// skipRecords makes dead letters of what one fetch returns, and follows the relays' numbers past them, except over a
// hole: the relay publishes missing records again behind those that came too early, and these once more after them.
func (o *Operator) skipRecords(ctx context.Context, tx *postgres.Tx, at *ledger.Movable, to int64, move *Move) error {
	chunk, err := o.reader(1<<20).Fetch(ctx, at.Partition, at.Next)
	if err != nil {
		return err
	}
	defer chunk.Release()
	all, err := at.Sequences(ctx, tx, []int{at.Partition})
	if err != nil {
		return err
	}
	sequences := all[at.Partition]
	if sequences == nil {
		sequences = ledger.Sequences{}
	}
	var letters []ledger.Letter
	verifier, err := consumers.NewVerifier(ctx, tx, &at.Log)
	if err != nil {
		return err
	}
	move.To = min(chunk.Next, to)
	size := 0
	for r := chunk.Read(); r != nil && r.Offset < to; r = chunk.Read() {
		stamp, err := verifier.Stamp(ctx, at.Partition, r)
		if err != nil {
			return err
		}
		if last, known := sequences[stamp.Relay]; stamp.Seq == last.Seq+1 || !known {
			sequences[stamp.Relay] = ledger.Sequence{Seq: stamp.Seq}
		}
		letters = append(letters, ledger.Letter{Partition: at.Partition, Record: r.Clone(), Reason: reasonSkipped, Detail: "passed over by an operator: " + printable.Text(o.Reason)})
		if size += letters[len(letters)-1].Size(); size >= stepBytes {
			move.To = min(r.Last+1, to)
			break
		}
	}
	move.Skipped = int64(len(letters))
	if move.To <= at.Next {
		return fmt.Errorf("partition %d cannot be read at %d", at.Partition, at.Next)
	}
	if err := at.AddLetters(ctx, tx, letters); err != nil {
		return err
	}
	at.RaiseSequences(tx, map[int]ledger.Sequences{at.Partition: sequences})
	return nil
}
