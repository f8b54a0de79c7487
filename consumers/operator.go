package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
)

const (
	showPositionsSQL = `
SELECT group_name, version, topic, topic_id, partition, next_offset, leader_epoch, owner, owner_epoch, state, halt_reason, halt_detail,
       fetched, applied, repeated, dead_lettered, lost, last_event_at, updated_at
FROM positions p
WHERE group_name = $1 AND (version = $2 OR $2 = 0)
ORDER BY version, topic, state = 'replaced', partition`

	// haltedSQL reads the positions that a verb is about, and locks them.
	haltedSQL = `
SELECT cluster_id, topic_id, partition, next_offset, leader_epoch, state, halt_reason FROM positions
WHERE group_name = $1 AND version = $2 AND topic = $3 AND state <> 'replaced' AND (partition = $4 OR $4 < 0)
ORDER BY cluster_id, topic_id, partition FOR UPDATE`

	replaceSQL = `
UPDATE positions SET state = 'replaced', owner_epoch = owner_epoch + 1, updated_at = now()
WHERE group_name = $1 AND version = $2 AND topic = $3 AND state <> 'replaced' AND (cluster_id <> $4 OR topic_id <> $5)`

	acceptCountSQL = `
INSERT INTO topic_partitions (cluster_id, topic_id, topic, partitions) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`

	moveSQL = `
UPDATE positions
SET next_offset = $7, leader_epoch = -1, owner_epoch = owner_epoch + 1, lost = lost + $8, state = 'running',
    halt_reason = '', halt_detail = '', updated_at = now()
WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = $5 AND next_offset = $6`

	skipSQL = `
UPDATE positions
SET next_offset = $7, leader_epoch = -1, owner_epoch = owner_epoch + 1, lost = lost + $8,
    fetched = fetched + $9, dead_lettered = dead_lettered + $9, state = 'running', halt_reason = '', halt_detail = '', updated_at = now()
WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = $5 AND next_offset = $6`
)

// reasonSkipped marks the dead letters that an operator made of records that were not read.
const reasonSkipped = "skipped"

// PositionInfo is one position as an operator sees it.
type PositionInfo struct {
	Group        string      `json:"group"`
	Version      int         `json:"version"`
	Topic        string      `json:"topic"`
	TopicID      events.UUID `json:"-"`
	Partition    int         `json:"partition"`
	NextOffset   int64       `json:"next_offset"`
	LeaderEpoch  int32       `json:"leader_epoch"`
	Owner        string      `json:"owner"`
	OwnerEpoch   int64       `json:"owner_epoch"`
	State        string      `json:"state"`
	HaltReason   string      `json:"halt_reason,omitempty"`
	HaltDetail   string      `json:"halt_detail,omitempty"`
	Fetched      int64       `json:"fetched"`
	Applied      int64       `json:"applied"`
	Repeated     int64       `json:"repeated"`
	DeadLettered int64       `json:"dead_lettered"`
	Lost         int64       `json:"lost"`
	LastEventAt  *time.Time  `json:"last_event_at,omitempty"`
	UpdatedAt    time.Time   `json:"updated_at"`
}

// ShowPositions lists the positions of a group's version; version 0 stands for all versions.
func ShowPositions(ctx context.Context, pool *pgxpool.Pool, group string, version int) ([]PositionInfo, error) {
	rows, err := pool.Query(ctx, showPositionsSQL, group, version)
	if err != nil {
		return nil, fmt.Errorf("list positions: %w", err)
	}
	positions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PositionInfo])
	if err != nil {
		return nil, fmt.Errorf("list positions: %w", err)
	}
	return positions, nil
}

// Move is what a verb did to one position.
type Move struct {
	Partition int    `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
	Lost      int64  `json:"lost"`
	Skipped   int64  `json:"skipped"` // records that became dead letters
	Was       string `json:"was"`     // the reason that it was halted for
}

// Operator moves positions on where the loop would not do so by itself. Every verb is audited with actor and reason,
// and takes the positions from their owners, who claim them anew.
type Operator struct {
	Config *Config
	Actor  string
	Reason string
}

// versions lists the versions that a verb is about: the live one and the one being built, since a rebuild honours
// what an operator decided.
func (o *Operator) versions(ctx context.Context) ([]int, error) {
	versions, err := Versions(ctx, o.Config.Pool, o.Config.Group.Name)
	if err != nil {
		return nil, err
	}
	var result []int
	for _, v := range versions {
		if v.State != "retired" {
			result = append(result, v.Version)
		}
	}
	return result, nil
}

// Adopt accepts what Kafka now is. A recreated topic is read from its start, a truncated partition from where it was
// cut, one whose records are gone from its start; new partitions of a grown topic are read from their start; missing
// numbers of a relay are given up; the count of dead letters starts anew. partition -1 stands for all.
func (o *Operator) Adopt(ctx context.Context, partition int) ([]Move, error) {
	topic, err := o.Config.Broker.DescribeTopic(ctx, o.Config.Broker.Topic(o.Config.Group.Topic))
	if err != nil {
		return nil, err
	}
	starts, _, err := logRange(ctx, o.Config)
	if err != nil {
		return nil, err
	}
	versions, err := o.versions(ctx)
	if err != nil {
		return nil, err
	}
	var moves []Move
	err = pgx.BeginFunc(ctx, o.Config.Pool, func(tx pgx.Tx) error {
		group := o.Config.Group
		if _, err := tx.Exec(ctx, acceptCountSQL, topic.Cluster, topic.ID, group.Topic, topic.Partitions); err != nil {
			return fmt.Errorf("accept partition count: %w", err)
		}
		for _, version := range versions {
			replaced, err := tx.Exec(ctx, replaceSQL, group.Name, version, group.Topic, topic.Cluster, topic.ID)
			if err != nil {
				return fmt.Errorf("replace positions: %w", err)
			}
			if replaced.RowsAffected() > 0 {
				moves = append(moves, Move{Partition: -1, Was: string(HaltRecreated)})
				if err := o.audit(ctx, tx, "adopt", version, nil, 0, 0); err != nil {
					return err
				}
				continue // the next claim gives the new topic positions at its start
			}
			adopted, err := o.adoptVersion(ctx, tx, version, partition, starts)
			if err != nil {
				return err
			}
			moves = append(moves, adopted...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("adopt: %w", err)
	}
	return moves, nil
}

func (o *Operator) adoptVersion(ctx context.Context, tx pgx.Tx, version, partition int, starts map[int]int64) ([]Move, error) {
	at, err := o.lock(ctx, tx, version, partition)
	if err != nil {
		return nil, err
	}
	var moves []Move
	for _, p := range at {
		if p.state != "halted" {
			continue
		}
		move := Move{Partition: p.partition, From: p.next, To: p.next, Was: p.reason}
		switch HaltReason(p.reason) {
		case HaltTruncated:
			if move.To, err = o.cutOf(ctx, p, starts[p.partition]); err != nil {
				return nil, err
			}
		case HaltGap:
			move.To = max(starts[p.partition], p.next)
			move.Lost = move.To - p.next
		}
		if r := HaltReason(p.reason); r == HaltGap || r == HaltSequence {
			if err := o.giveUpNumbers(ctx, tx, version, p.partition, move.To); err != nil {
				return nil, err
			}
		}
		if err := o.move(ctx, tx, version, p, move); err != nil {
			return nil, err
		}
		moves = append(moves, move)
		if err := o.audit(ctx, tx, "adopt", version, &p.partition, move.From, move.To); err != nil {
			return nil, err
		}
	}
	return moves, nil
}

// cutOf returns where the log of a truncated partition was cut. It is not the log's end: what was written since the
// cut has not been read, and what the relay published again counts as repeats. Without an epoch to ask for it is the
// log's start, for the same reason.
func (o *Operator) cutOf(ctx context.Context, p operated, start int64) (int64, error) {
	if p.epoch < 0 {
		return start, nil
	}
	topic := o.Config.Broker.Topic(o.Config.Group.Topic)
	var request kadm.OffsetForLeaderEpochRequest
	request.Add(topic, int32(p.partition), p.epoch)
	answers, err := o.Config.Broker.Admin.OffsetForLeaderEpoch(ctx, request)
	if err != nil {
		return 0, fmt.Errorf("ask where the log was cut: %w", err)
	}
	answer, ok := answers[topic][int32(p.partition)]
	switch {
	case !ok:
		return 0, errors.New("ask where the log was cut: Kafka names no such partition")
	case answer.Err != nil:
		return 0, fmt.Errorf("ask where the log was cut: %w", answer.Err)
	}
	return max(start, min(answer.EndOffset, p.next)), nil
}

// giveUpNumbers makes the numbers of the first records from offset on the next ones of their relay terms.
func (o *Operator) giveUpNumbers(ctx context.Context, tx pgx.Tx, version, partition int, offset int64) error {
	topic := &topicLog{conn: o.Config.Broker, topic: o.Config.Broker.Topic(o.Config.Group.Topic), maxBytes: 64 << 10, maxWait: time.Second}
	c, err := topic.fetch(ctx, partition, offset)
	if err != nil {
		return err
	}
	numbers := map[events.UUID]int64{}
	for _, r := range c.records {
		stamp := stampOf(r.headers)
		if _, seen := numbers[stamp.Relay]; !seen {
			numbers[stamp.Relay] = stamp.Seq - 1
		}
	}
	return o.raiseNumbers(ctx, tx, version, partition, numbers)
}

// Rewind sets a position back, so that records are read again. Their effects are there already: they count as repeats.
func (o *Operator) Rewind(ctx context.Context, partition int, to int64) ([]Move, error) {
	starts, _, err := logRange(ctx, o.Config)
	if err != nil {
		return nil, err
	}
	if to < starts[partition] {
		return nil, fmt.Errorf("rewind: the log of partition %d begins at %d, above %d", partition, starts[partition], to)
	}
	topic, err := o.Config.Broker.DescribeTopic(ctx, o.Config.Broker.Topic(o.Config.Group.Topic))
	if err != nil {
		return nil, err
	}
	var moves []Move
	err = pgx.BeginFunc(ctx, o.Config.Pool, func(tx pgx.Tx) error {
		live, _, err := liveVersion(ctx, tx, o.Config.Group.Name)
		if err != nil {
			return err
		}
		at, err := o.lock(ctx, tx, live, partition)
		if err != nil {
			return err
		}
		for _, p := range at {
			if p.topicID != topic.ID {
				return errOtherLog
			}
			if to > p.next {
				return fmt.Errorf("%d is above the position %d: to pass over records use skip", to, p.next)
			}
			move := Move{Partition: p.partition, From: p.next, To: to, Was: p.reason}
			if err := o.move(ctx, tx, live, p, move); err != nil {
				return err
			}
			moves = append(moves, move)
			if err := o.audit(ctx, tx, "rewind", live, &p.partition, move.From, move.To); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rewind: %w", err)
	}
	return moves, nil
}

// errOtherLog tells that the position speaks of a log that is no longer there.
var errOtherLog = errors.New("the topic is not the one that was read: adopt it first")

// operated is a position that a verb has locked.
type operated struct {
	cluster    string
	topicID    events.UUID
	partitions int // of the topic; 0 where it makes no difference
	partition  int
	next       int64
	epoch      int32 // of the last record before next; -1 when unknown
	state      string
	reason     string
}

func (o *Operator) lock(ctx context.Context, tx pgx.Tx, version, partition int) ([]operated, error) {
	rows, err := tx.Query(ctx, haltedSQL, o.Config.Group.Name, version, o.Config.Group.Topic, partition)
	if err != nil {
		return nil, fmt.Errorf("lock positions: %w", err)
	}
	var result []operated
	var p operated
	if _, err := pgx.ForEachRow(rows, []any{&p.cluster, &p.topicID, &p.partition, &p.next, &p.epoch, &p.state, &p.reason}, func() error {
		result = append(result, p)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("lock positions: %w", err)
	}
	if len(result) == 0 {
		return nil, fmt.Errorf("version %d of %s has no such position yet", version, o.Config.Group.Name)
	}
	return result, nil
}

func (o *Operator) move(ctx context.Context, tx pgx.Tx, version int, p operated, m Move) error {
	_, err := tx.Exec(ctx, moveSQL, o.Config.Group.Name, version, p.cluster, p.topicID, p.partition, m.From, m.To, m.Lost)
	return err
}

func (o *Operator) audit(ctx context.Context, tx pgx.Tx, verb string, version int, partition *int, from, to int64) error {
	_, err := tx.Exec(ctx, addAuditSQL, o.Actor, verb, o.Config.Group.Name, version, o.Config.Group.Topic, partition, from, to, o.Reason)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Skip passes over the records below offset to: those that can be read become dead letters, those that are missing
// are counted as lost. Every rebuild honours it.
func (o *Operator) Skip(ctx context.Context, partition int, to int64) ([]Move, error) {
	starts, ends, err := logRange(ctx, o.Config)
	if err != nil {
		return nil, err
	}
	if to > ends[partition] {
		return nil, fmt.Errorf("skip: the log of partition %d ends at %d, below %d", partition, ends[partition], to)
	}
	topic, err := o.Config.Broker.DescribeTopic(ctx, o.Config.Broker.Topic(o.Config.Group.Topic))
	if err != nil {
		return nil, err
	}
	versions, err := o.versions(ctx)
	if err != nil {
		return nil, err
	}
	var moves []Move
	for _, version := range versions {
		moved, err := o.skipVersion(ctx, version, partition, topic, starts[partition], to)
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
func (o *Operator) skipVersion(ctx context.Context, version, partition int, topic broker.Topic, start, to int64) (Move, error) {
	var total *Move
	for {
		var step Move
		err := pgx.BeginFunc(ctx, o.Config.Pool, func(tx pgx.Tx) error {
			at, err := o.lock(ctx, tx, version, partition)
			if err != nil {
				return err
			}
			if at[0].topicID != topic.ID {
				return errOtherLog
			}
			at[0].partitions = topic.Partitions
			step, err = o.skipStep(ctx, tx, version, at[0], start, to)
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

func (o *Operator) skipStep(ctx context.Context, tx pgx.Tx, version int, p operated, start, to int64) (Move, error) {
	move := Move{Partition: p.partition, From: p.next, To: p.next, Was: p.reason}
	if p.next >= to {
		return move, nil // this version is past it, and a halt that it may have is about something else
	}
	if p.next < start {
		move.To = min(start, to)
		move.Lost = move.To - p.next
		if move.To == start {
			if err := o.giveUpNumbers(ctx, tx, version, p.partition, start); err != nil {
				return move, err
			}
		}
	} else if err := o.skipRecords(ctx, tx, version, p, to, &move); err != nil {
		return move, err
	}
	tag, err := tx.Exec(ctx, skipSQL, o.Config.Group.Name, version, p.cluster, p.topicID, p.partition, move.From, move.To, move.Lost, move.Skipped)
	if err != nil {
		return move, err
	}
	if tag.RowsAffected() != 1 {
		return move, errFenced
	}
	return move, o.audit(ctx, tx, "skip", version, &p.partition, move.From, move.To)
}

// skipRecords makes dead letters of what one fetch returns, and follows the relays' numbers past them, except over a
// hole: the relay publishes missing records again behind those that came too early, and these once more after them.
func (o *Operator) skipRecords(ctx context.Context, tx pgx.Tx, version int, p operated, to int64, move *Move) error {
	log := &topicLog{conn: o.Config.Broker, topic: o.Config.Broker.Topic(o.Config.Group.Topic), maxBytes: 1 << 20, maxWait: time.Second}
	c, err := log.fetch(ctx, p.partition, p.next)
	if err != nil {
		return err
	}
	at := &place{group: o.Config.Group.Name, version: Version{Number: version}, cluster: p.cluster, topic: o.Config.Group.Topic, topicID: p.topicID, partitions: p.partitions}
	numbers, err := readNumbers(ctx, tx, at, p.partition)
	if err != nil {
		return err
	}
	var letters []deadLetter
	for _, r := range c.records {
		if r.offset >= to {
			break
		}
		stamp := stampOf(r.headers)
		if last, known := numbers[stamp.Relay]; stamp.Seq == last+1 || !known {
			numbers[stamp.Relay] = stamp.Seq
		}
		letters = append(letters, deadLetter{partition: p.partition, record: r, reason: reasonSkipped, detail: "passed over by an operator: " + o.Reason})
	}
	move.Skipped, move.To = int64(len(letters)), min(c.next, to)
	if move.To <= p.next {
		return fmt.Errorf("partition %d cannot be read at %d", p.partition, p.next)
	}
	if err := at.addDeadLetters(ctx, tx, letters); err != nil {
		return err
	}
	return o.raiseNumbers(ctx, tx, version, p.partition, numbers)
}

// readNumbers returns the last number applied of each relay term in a partition.
func readNumbers(ctx context.Context, tx pgx.Tx, at *place, partition int) (map[events.UUID]int64, error) {
	rows, err := tx.Query(ctx, sequencesSQL, at.group, at.version.Number, at.topic, []int32{int32(partition)})
	if err != nil {
		return nil, fmt.Errorf("read relay numbers: %w", err)
	}
	numbers := map[events.UUID]int64{}
	var id int
	var relay events.UUID
	var seq int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &relay, &seq}, func() error {
		numbers[relay] = seq
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read relay numbers: %w", err)
	}
	return numbers, nil
}

// raiseNumbers makes each number the last of its relay term, unless a greater one is there.
func (o *Operator) raiseNumbers(ctx context.Context, tx pgx.Tx, version, partition int, numbers map[events.UUID]int64) error {
	for relay, seq := range numbers {
		if relay.IsZero() || seq < 1 {
			continue
		}
		if _, err := tx.Exec(ctx, addSequencesSQL, o.Config.Group.Name, version, o.Config.Group.Topic, []int32{int32(partition)}, []events.UUID{relay}, []int64{seq}); err != nil {
			return fmt.Errorf("raise relay numbers: %w", err)
		}
	}
	return nil
}
