package relay

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/person"
)

// selectErasuresSQL reads the erasures of persons that are in the outbox, published or not.
const selectErasuresSQL = `SELECT payload, headers FROM outbox WHERE type = $1 AND aggregatetype = $2`

// restore restores the effects of own events whose transactions the database has lost. Persons who were erased later do
// not come back, whether the erasure is further on in the log or in the outbox.
func (t *term) restore(ctx context.Context, tx pgx.Tx, at topicPartition, missing []entry) error {
	if at.topic != events.TopicActions || len(missing) == 0 {
		return nil
	}
	erased, err := t.erasures(ctx, tx)
	if err != nil {
		return err
	}
	r, decoder := restoring{tx: tx, erased: erased, batch: &pgx.Batch{}}, events.NewDecoder()
	for i := range missing {
		var event events.Event
		if decoder.Decode(&missing[i].head, missing[i].value, &event) != nil {
			continue // not ours, or of a later version: the consumers report it
		}
		if err := r.restore(ctx, &event); err != nil {
			return err
		}
	}
	if err := r.send(ctx); err != nil {
		return err
	}
	if r.events > 0 {
		t.Log.Warn("restored events of ours that the database did not know", "partition", at.partition, "events", r.events)
	}
	return nil
}

// greatestPolicy returns the greatest policy id in an event, 0 if there is none.
func greatestPolicy(event *events.Event) int64 {
	if event.Action == nil {
		return 0
	}
	greatest := event.Action.PolicyID
	for _, id := range event.Action.Policies {
		greatest = max(greatest, id)
	}
	return greatest
}

// erasures returns when each person was last erased according to the outbox.
func (t *term) erasures(ctx context.Context, tx pgx.Tx) (map[string]time.Time, error) {
	rows, err := tx.Query(ctx, selectErasuresSQL, events.TypeUserErased.String(), events.TopicActions)
	if err != nil {
		return nil, err
	}
	erased := map[string]time.Time{}
	var payload, headers []byte
	_, err = pgx.ForEachRow(rows, []any{&payload, &headers}, func() error {
		event, ok := t.decodeRow(payload, headers)
		if ok && event.Erasure.RecordedAt.After(erased[event.Erasure.UserID]) {
			erased[event.Erasure.UserID] = event.Erasure.RecordedAt
		}
		return nil
	})
	return erased, err
}

// decodeRow decodes an event of ours in the outbox. A redriven record may be of another source, or broken.
func (t *term) decodeRow(payload, headers []byte) (event events.Event, ok bool) {
	list, err := outbox.UnmarshalHeaders(headers)
	if err != nil {
		return event, false
	}
	decoder := events.NewDecoder()
	head, data, err := decoder.Open(list, payload)
	if err != nil || head.Source != t.source || decoder.Decode(&head, data, &event) != nil {
		return event, false
	}
	return event, true
}

// restoring restores events in the order of the log.
type restoring struct {
	tx     pgx.Tx
	erased map[string]time.Time // by person; their earlier events are not restored
	batch  *pgx.Batch           // not yet sent
	policy int64                // greatest policy id
	events int
}

// restore repeats the effects of an event on the tables that the consumers do not fold.
func (r *restoring) restore(ctx context.Context, event *events.Event) error {
	r.policy = max(r.policy, greatestPolicy(event))
	if event.Type != events.TypeUserErased {
		if recordedAt(event).After(r.erased[event.UserID()]) && actions.Restore(r.batch, event) {
			r.events++
		}
		return nil
	}
	r.events++
	if err := r.send(ctx); err != nil {
		return err
	}
	return person.EraseOwned(ctx, r.tx, event.Erasure.UserID, event.Erasure.RecordedAt)
}

// recordedAt is when an event about actions or preferences was written; zero for all others.
func recordedAt(event *events.Event) time.Time {
	switch {
	case event.Action != nil:
		return event.Action.RecordedAt
	case event.Preference != nil:
		return event.Preference.RecordedAt
	}
	return time.Time{}
}

// send executes what is queued.
func (r *restoring) send(ctx context.Context) error {
	if r.policy > 0 {
		actions.AdvancePolicies(r.batch, r.policy)
	}
	batch := r.batch
	r.batch = &pgx.Batch{}
	return r.tx.SendBatch(ctx, batch).Close()
}
