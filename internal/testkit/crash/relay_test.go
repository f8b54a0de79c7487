package crash

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/testkit/load"
)

// relayWindows are the moments at which a relay may die.
var relayWindows = []struct {
	name string
	most int
}{
	{"relay_reconcile", 1}, {"relay_after_stamp", 5}, {"relay_after_produce", 5}, {"relay_after_mark", 5},
}

// TestRelayCrashesAtEveryWindow kills a relay at each moment between two steps, while events are accepted all the time
// and folded at once: each event that was accepted must have been applied exactly once.
func TestRelayCrashesAtEveryWindow(t *testing.T) {
	t.Parallel()
	seed, servers := seed(t), startServers(t)
	type run struct {
		*deployment
		*process
		rule   string
		accept func() int
	}
	var runs []run
	for i, window := range relayWindows {
		w := servers.deploy(t, "window "+window.name, seed+uint64(i), load.Profile{Users: 100, Reverted: 0.05, Preferred: 0.05})
		rule := fmt.Sprintf("%s=exit@%d", window.name, 1+w.random.IntN(window.most))
		w.consume()
		runs = append(runs, run{w, w.relay("APPLYLENS_FAILPOINT=" + rule), rule, w.accept()})
	}
	for _, r := range runs {
		r.awaitKilled(r.rule)
		r.relay()
	}
	for _, r := range runs {
		accepted := r.accept()
		r.AwaitPublished()
		r.settle()
		if applied := r.applied(); applied != accepted {
			t.Errorf("%s: %d events were accepted and %d applied", r.rule, accepted, applied)
		}
	}
}

// relay starts a relay.
func (w *deployment) relay(variables ...string) *process {
	return w.run([]string{"relay", "--metrics-listen", ""}, variables...)
}

// accept puts events into the outbox, as the API does, until the function that it returns is called, which tells how
// many they were.
func (w *deployment) accept() (finish func() int) {
	ctx, cancel := context.WithTimeout(w.Context(), 2*patience)
	enough, ended, accepted := make(chan struct{}), make(chan error, 1), 0
	go func() {
		for {
			select {
			case <-enough:
				ended <- nil
				return
			default:
			}
			if err := w.decide(ctx, 10); err != nil {
				ended <- err
				return
			}
			accepted += 10
		}
	}()
	return func() int {
		w.Helper()
		defer cancel()
		close(enough)
		w.Must(<-ended)
		return accepted
	}
}

// decide accepts count events in one transaction.
func (w *deployment) decide(ctx context.Context, count int) error {
	rows := make([]outbox.Row, count)
	for i := range rows {
		made, err := w.events.Next()
		if err != nil {
			return err
		}
		var headers []events.Header
		kind, id := "", ""
		for _, header := range made.Headers {
			switch header.Key {
			case events.HeaderRelayID, events.HeaderRelaySeq, events.HeaderRelaySignature:
				continue // the relay's to set
			case events.HeaderType:
				kind = string(header.Value)
			case events.HeaderID:
				id = string(header.Value)
			}
			headers = append(headers, header)
		}
		rows[i] = outbox.Row{
			ID: id, Topic: events.TopicActions, Key: made.Key, Type: kind, Value: made.Value, Headers: headers, UserID: string(made.Key),
		}
	}
	return pgx.BeginFunc(ctx, w.Pool, func(tx pgx.Tx) error { return outbox.Insert(ctx, tx, rows...) })
}

// applied returns how many records every group has applied; all must be of one mind.
func (w *deployment) applied() int {
	w.Helper()
	var least, most int
	w.Must(w.Pool.QueryRow(w.Context(), `
SELECT min(applied), max(applied)
FROM (SELECT sum(applied)::bigint AS applied FROM positions WHERE group_name = ANY ($1) GROUP BY group_name) t`, w.group).Scan(&least, &most))
	if least != most {
		w.Errorf("%s: one group has applied %d records, another %d", w.name, least, most)
	}
	return least
}
