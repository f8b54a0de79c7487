package operate

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/printable"
)

// Redrive puts the stored bytes of an open dead letter into the outbox, marked for its group alone, so that it is
// folded once more in log order, live and in every rebuild. A conflict is applied only with force.
func Redrive(ctx context.Context, pool *pgxpool.Pool, conn *broker.Conn, id int64, actor string, force bool) error {
	err := decide(ctx, pool, id, func(tx *postgres.Tx, d *ledger.DeadRecord) error {
		if d.Reason == consumers.ReasonConflict && !force {
			return errors.New("an event with the same identity and other content was applied before: redriving it needs --force")
		}
		if d.Value == nil {
			if err := readBack(ctx, conn, d); err != nil {
				return err
			}
		}
		if err := outbox.Insert(ctx, tx, again(d, force)); err != nil {
			return err
		}
		d.Close(tx, ledger.LetterRedriven, events.CleanText(printable.Text("by "+actor), mostNote))
		auditLetter(tx, d, actor, "redrive", d.Reason)
		return nil
	})
	if err != nil {
		return fmt.Errorf("redrive dead letter %d: %w", id, err)
	}
	return nil
}

// mostNote is the greatest length of a closed dead letter's note, in bytes.
const mostNote = 500

// Discard closes an open dead letter for good, with the reason.
func Discard(ctx context.Context, pool *pgxpool.Pool, id int64, actor, reason string) error {
	err := decide(ctx, pool, id, func(tx *postgres.Tx, d *ledger.DeadRecord) error {
		d.Close(tx, ledger.LetterDiscarded, events.CleanText(printable.Text("by "+actor+": "+reason), mostNote))
		auditLetter(tx, d, actor, "discard", reason)
		return nil
	})
	if err != nil {
		return fmt.Errorf("discard dead letter %d: %w", id, err)
	}
	return nil
}

// decide runs f on an open dead letter in one transaction.
func decide(ctx context.Context, pool *pgxpool.Pool, id int64, f func(*postgres.Tx, *ledger.DeadRecord) error) error {
	return postgres.InTx(ctx, pool, func(tx *postgres.Tx) error {
		d, err := ledger.LockDeadLetter(ctx, tx, id)
		if err != nil {
			return err
		}
		if d.State != ledger.LetterOpen {
			return fmt.Errorf("it is %s already", d.State)
		}
		return f(tx, d)
	})
}

func auditLetter(tx *postgres.Tx, d *ledger.DeadRecord, actor, verb, reason string) {
	audit := ledger.Audit{Actor: actor, Verb: verb, Group: d.Group, Version: d.Version, Topic: d.Topic, Partition: &d.Partition, From: &d.Offset, Reason: reason}
	audit.Add(tx)
}

// again is the outbox row that publishes the record once more; its old stamp, if it had one, is not part of it.
func again(d *ledger.DeadRecord, force bool) outbox.Row {
	row := outbox.Row{ID: fmt.Sprintf("redrive-%d", d.ID), Topic: d.Topic, Key: d.Key, Value: d.Value, UserID: d.UserID}
	for _, h := range d.Headers {
		switch h.Key {
		case events.HeaderRelayID, events.HeaderRelaySeq, events.HeaderRelaySignature, events.HeaderRedriveGroup, events.HeaderRedrivenFrom, events.HeaderRedriveForce:
			continue
		case events.HeaderType:
			row.Type = events.CleanText(string(h.Value), 200)
		}
		row.Headers = append(row.Headers, h)
	}
	if head, _, err := events.NewDecoder().Open(d.Headers, d.Value); row.Type == "" && err == nil {
		row.Type = head.Type.String()
	}
	from := d.Topic + "/" + d.TopicID.String() + "/" + strconv.Itoa(d.Partition) + "/" + strconv.FormatInt(d.Offset, 10)
	row.Headers = append(row.Headers,
		events.Header{Key: events.HeaderRedriveGroup, Value: []byte(d.Group)},
		events.Header{Key: events.HeaderRedrivenFrom, Value: []byte(from)})
	if force {
		row.Headers = append(row.Headers, events.Header{Key: events.HeaderRedriveForce, Value: []byte("true")})
	}
	return row
}

// readBack fetches a value that was not kept.
func readBack(ctx context.Context, conn *broker.Conn, d *ledger.DeadRecord) error {
	topic, err := conn.DescribeTopic(ctx, conn.Topic(d.Topic))
	if err != nil {
		return err
	}
	if topic.ID != d.TopicID {
		return errors.New("its value was not kept, and its topic was recreated since: it is gone")
	}
	found, ok, err := kafkalog.Peek(ctx, conn, conn.Topic(d.Topic), d.Partition, d.Offset)
	switch {
	case errors.Is(err, kafkalog.ErrOffsetOutOfRange) || err == nil && (!ok || found.Offset != d.Offset):
		return errors.New("its value was not kept, and the log no longer holds it: it is gone")
	case err != nil:
		return err
	case found.Err != nil:
		return fmt.Errorf("it cannot be read: %w", found.Err)
	}
	d.Value = found.Value
	return nil
}
