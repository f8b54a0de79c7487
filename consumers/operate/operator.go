package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/postgres"
)

// Move is what a verb did to one position.
type Move struct {
	Partition int    `json:"partition"` // -1: all, of a topic that was recreated
	From      int64  `json:"from"`
	To        int64  `json:"to"`
	Lost      int64  `json:"lost"`
	Skipped   int64  `json:"skipped"` // records that became dead letters
	Was       string `json:"was"`     // the reason that it was halted for
}

// Operator moves positions. Every verb takes the positions from their owners, who claim them anew.
type Operator struct {
	Config *consumers.Config
	Actor  string
	Reason string
}

// errOtherLog tells that the position is about a log that is no longer there.
var errOtherLog = errors.New("the topic is not the one that was read: adopt it first")

// topic is the group's topic as Kafka knows it.
func (o *Operator) topic() string { return o.Config.Broker.Topic(o.Config.Group.Topic) }

// present describes the log that Kafka has now.
func (o *Operator) present(ctx context.Context) (ledger.Log, error) {
	topic, err := o.Config.Broker.DescribeTopic(ctx, o.topic())
	if err != nil {
		return ledger.Log{}, err
	}
	group := o.Config.Group
	return ledger.Log{Group: group.Name, Cluster: topic.Cluster, Topic: group.Topic, TopicID: topic.ID, Partitions: topic.Partitions}, nil
}

// versions lists the versions that a verb is about: the live one and the one being built, since a rebuild honours
// what an operator decided.
func (o *Operator) versions(ctx context.Context) ([]int, error) {
	versions, err := ledger.Versions(ctx, o.Config.Pool, o.Config.Group.Name)
	if err != nil {
		return nil, err
	}
	var result []int
	for _, v := range versions {
		if v.State != ledger.VersionRetired {
			result = append(result, v.Version)
		}
	}
	return result, nil
}

func (o *Operator) audit(tx *postgres.Tx, verb string, version int, partition *int, from, to int64) {
	audit := ledger.Audit{
		Actor: o.Actor, Verb: verb, Group: o.Config.Group.Name, Version: version, Topic: o.Config.Group.Topic,
		Partition: partition, From: &from, To: &to, Reason: o.Reason,
	}
	audit.Add(tx)
}

// reader reads the group's topic, at most so many bytes at once.
func (o *Operator) reader(maxBytes int) *kafkalog.Reader {
	return &kafkalog.Reader{Conn: o.Config.Broker, Topic: o.topic(), MaxBytes: maxBytes, MaxWait: time.Second}
}

// giveUpMissing makes the numbers of the first records from offset on the next ones of their relay terms. Records that our relay
// did not sign have no say in it.
func (o *Operator) giveUpMissing(ctx context.Context, tx *postgres.Tx, at *ledger.Movable, offset int64) error {
	chunk, err := o.reader(64<<10).Fetch(ctx, at.Partition, offset)
	if err != nil {
		return err
	}
	defer chunk.Release()
	verifier, err := consumers.NewVerifier(ctx, tx, &at.Log)
	if err != nil {
		return err
	}
	sequences := ledger.Sequences{}
	for r := chunk.Read(); r != nil; r = chunk.Read() {
		stamp, err := verifier.Stamp(ctx, at.Partition, r)
		if err != nil {
			return err
		}
		if _, seen := sequences[stamp.Relay]; !seen {
			sequences[stamp.Relay] = ledger.Sequence{Seq: stamp.Seq - 1}
		}
	}
	at.RaiseSequences(tx, map[int]ledger.Sequences{at.Partition: sequences})
	return nil
}

// Rewind sets the live version's position back, so that records are read again. Their effects are there already: they
// count as repeats. A group that does not remember its events folds them again, erasures too.
func (o *Operator) Rewind(ctx context.Context, partition int, to int64) ([]Move, error) {
	moves, err := o.rewind(ctx, partition, to)
	if err != nil {
		return nil, fmt.Errorf("rewind: %w", err)
	}
	return moves, nil
}

func (o *Operator) rewind(ctx context.Context, partition int, to int64) (moves []Move, err error) {
	starts, err := kafkalog.Starts(ctx, o.Config.Broker, o.topic())
	start, known := starts[partition]
	if err != nil && !known { // otherwise it is about other partitions
		return nil, err
	}
	switch {
	case !known:
		return nil, fmt.Errorf("the topic has no partition %d", partition)
	case to < start:
		return nil, fmt.Errorf("the log of partition %d begins at %d, above %d", partition, start, to)
	}
	present, err := o.present(ctx)
	if err != nil {
		return nil, err
	}
	err = postgres.InTx(ctx, o.Config.Pool, func(tx *postgres.Tx) error {
		live, _, err := ledger.LiveVersion(ctx, tx, present.Group)
		if err != nil {
			return err
		}
		list, err := ledger.LockForMove(ctx, tx, present.Group, live, present.Topic, partition)
		if err != nil {
			return err
		}
		for i := range list {
			at := &list[i]
			if at.TopicID != present.TopicID {
				return errOtherLog
			}
			if to > at.Next {
				return fmt.Errorf("%d is above the position %d: to pass over records use skip", to, at.Next)
			}
			at.Move(tx, to, 0, 0)
			o.audit(tx, "rewind", live, &at.Partition, at.Next, to)
			moves = append(moves, Move{Partition: at.Partition, From: at.Next, To: to, Was: string(at.HaltReason)})
		}
		return nil
	})
	return moves, err
}
