package relay

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/person"
	"github.com/applylens/applylens/internal/testkit/world"
)

// forget brings the tables of the outbox back to what a backup has that was taken when no row with a seq above last
// existed, and none above sequenced had a relay sequence.
func (w *deployment) forget(sequenced, last int) {
	w.Helper()
	w.Exec("DELETE FROM outbox WHERE seq > $1", last)
	w.Exec("UPDATE outbox SET relay_id = NULL, partition = NULL, relay_seq = NULL, log_offset = NULL, published_at = NULL WHERE seq > $1", sequenced)
	w.Exec("UPDATE relay_partitions p SET next_offset = coalesce((SELECT max(log_offset) + 1 FROM outbox o WHERE o.aggregatetype = p.topic AND o.partition = p.partition), 0)")
	w.Exec("DELETE FROM relays r WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.relay_id = r.relay_id)")
	w.Exec("UPDATE deployment SET timeline_id = timeline_id - 1")
}

func TestRestoredDatabaseFindsItsRowsInTheLog(t *testing.T) {
	w := newDeployment(t)
	w.add(20, "ann", "bob", "cid")
	stop := w.start()
	w.AwaitPublished()
	stop()
	w.forget(0, 20)
	if restored, err := outbox.Restored(t.Context(), w.Pool); err != nil || !restored {
		t.Fatalf("Restored = %t, %v before reconciling", restored, err)
	}
	w.start()
	w.AwaitPublished()
	w.untilReconciled()
	if restored, err := outbox.Restored(t.Context(), w.Pool); err != nil || restored {
		t.Errorf("Restored = %t, %v after reconciling", restored, err)
	}
	if repeats := w.checkLog(); repeats != 0 {
		t.Errorf("%d repeats, want none", repeats)
	}
	for _, r := range w.log() {
		if w.Int("SELECT count(*) FROM outbox WHERE id = $1 AND relay_id = $2 AND relay_seq = $3 AND log_offset = $4",
			r.id, [16]byte(r.sequence.Relay), r.sequence.Seq, r.offset) != 1 {
			t.Errorf("%s does not have the relay sequence of its record", r.id)
		}
	}
	w.add(10, "ann", "bob", "cid")
	w.AwaitPublished()
	w.checkLog()
}

// Whoever waits for the relay to have read the log, as an operator after a restore, must then find the database accepted.
func TestReconciledAndAcceptedAreVisibleAtOnce(t *testing.T) {
	w := newDeployment(t)
	w.Exec("UPDATE deployment SET timeline_id = timeline_id - 1")
	holder, err := w.Pool.Begin(t.Context())
	w.Must(err)
	defer holder.Rollback(context.Background())
	_, err = holder.Exec(t.Context(), "SELECT FROM deployment FOR UPDATE")
	w.Must(err)
	w.start()
	w.untilLocked()
	if n := w.Int("SELECT count(*) FROM relays WHERE reconciled_at IS NOT NULL"); n != 0 {
		t.Error("the relay has reconciled a database that is not accepted yet")
	}
	w.Must(holder.Rollback(t.Context()))
	w.untilReconciled()
	if restored, err := outbox.Restored(t.Context(), w.Pool); err != nil || restored {
		t.Errorf("Restored = %t, %v after reconciling", restored, err)
	}
}

func TestRedrivenRowIsNotTakenForItsFirstRecord(t *testing.T) {
	w := newDeployment(t)
	w.add(1, "ann")
	stop := w.start()
	w.AwaitPublished()
	stop()
	again := w.row("ann")
	again.ID = "event-000001"
	for i, h := range again.Headers {
		if h.Key == events.HeaderID {
			again.Headers[i].Value = []byte(again.ID)
		}
	}
	again.Headers = append(again.Headers,
		events.Header{Key: events.HeaderRedriveGroup, Value: []byte("weights")},
		events.Header{Key: events.HeaderRedrivenFrom, Value: []byte("applylens.actions/0190a4c4-9d1c-7b4e-8f3a-6d1e2c3b4a59/2/0")})
	w.insert(again)
	w.Exec("UPDATE relay_partitions SET next_offset = 0")
	w.start()
	w.AwaitPublished()
	if n := len(w.log()); n != 2 {
		t.Errorf("%d records, want 2: the redriven one too", n)
	}
	// A backup knows neither; both are found, each by its own record.
	w.forget(0, 2)
	w.killLeader()
	w.AwaitPublished()
	if n := len(w.log()); n != 2 {
		t.Errorf("%d records after the restore, want 2", n)
	}
}

// action adds an event about an action and changes nothing else.
func (w *deployment) action(kind events.Type, id events.UUID, user string, policy int64, round int) {
	w.Helper()
	w.actionAt(kind, id, user, policy, round, recorded)
}

func (w *deployment) actionAt(kind events.Type, id events.UUID, user string, policy int64, round int, at time.Time) {
	w.Helper()
	a := &events.Action{
		ActionID: id, UserID: user, PolicyID: policy, Action: "archive_email", Confidence: 0.7, ProposedAt: at, RecordedAt: at,
		Round: round, Features: []string{"category:promo"}, HasFeatures: true, FeatureRule: events.FeatureRule,
		Mail: events.MailRef{ID: "mail-" + id.String(), Category: "promo", SenderDomain: "example.com"},
	}
	if kind != events.TypeActionProposed {
		a.DecidedAt = at.Add(time.Minute)
	}
	if kind == events.TypeActionReverted {
		a.Decision = events.DecisionApproved
	}
	w.emit(&events.Event{Envelope: events.Envelope{Type: kind}, Action: a})
}

func erasure(user string, at time.Time) *events.Event {
	return &events.Event{Envelope: events.Envelope{Type: events.TypeUserErased}, Erasure: &events.Erasure{UserID: user, RecordedAt: at}}
}

func (w *deployment) emit(event *events.Event) {
	w.Helper()
	event.Source, event.ID = w.Source, events.NewUUIDv7(recorded).String()
	w.Must(pgx.BeginFunc(w.Context(), w.Pool, func(tx pgx.Tx) error { return outbox.Add(w.Context(), tx, event) }))
	w.added++
}

func TestDecisionsReturnFromTheLog(t *testing.T) {
	w := newDeployment(t)
	ids := make([]events.UUID, 6)
	for i := range ids {
		ids[i] = events.NewUUIDv7(recorded)
	}
	w.action(events.TypeActionProposed, ids[0], "ann", 1, 0) // the backup has this much
	w.Exec("INSERT INTO users (id, created_at) VALUES ('ann', $1), ('dan', $1)", recorded)
	w.Exec(`INSERT INTO actions (id, user_id, policy_id, email_id, action, confidence, features, feature_rule, created_at)
		VALUES ($1, 'ann', 1, 'mail', 'archive_email', 0.7, '{}', 1, $2)`, [16]byte(ids[0]), recorded)
	w.action(events.TypeActionApproved, ids[0], "ann", 1, 0)
	w.action(events.TypeActionProposed, ids[1], "bob", 7, 0) // a person whom the backup does not know
	w.action(events.TypeActionRejected, ids[1], "bob", 7, 0)
	w.action(events.TypeActionProposed, ids[2], "ann", 41, 0)
	w.action(events.TypeActionApproved, ids[3], "ann", 1, 0)
	w.action(events.TypeActionReverted, ids[3], "ann", 1, 0)
	w.action(events.TypeActionApproved, ids[4], "ann", 1, 0)
	w.action(events.TypeActionReverted, ids[4], "ann", 1, 0)
	w.action(events.TypeActionRejected, ids[4], "ann", 1, 1)
	w.action(events.TypeActionProposed, ids[5], "dan", 2, 0)
	w.emit(erasure("dan", recorded))
	stop := w.start()
	w.AwaitPublished()
	stop()
	w.forget(1, 1)
	w.start()
	w.accepted()
	rows, err := w.Pool.Query(t.Context(), "SELECT id, user_id || ' ' || status || ' ' || round FROM actions")
	w.Must(err)
	got := map[events.UUID]string{}
	var id [16]byte
	var what string
	_, err = pgx.ForEachRow(rows, []any{&id, &what}, func() error { got[id] = what; return nil })
	w.Must(err)
	want := map[events.UUID]string{
		ids[0]: "ann approved 0", ids[1]: "bob rejected 0", ids[2]: "ann pending 0", ids[3]: "ann pending 1", ids[4]: "ann rejected 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	if n := w.Int("SELECT nextval('policies_id_seq')"); n != 42 {
		t.Errorf("the next policy is number %d, want 42", n)
	}
	if n := w.Int("SELECT count(*) FROM users WHERE id = 'dan'"); n != 0 {
		t.Error("a person who was erased is back")
	}
	if n := len(w.log()); n != 12 {
		t.Errorf("%d records, want the 12 of before: nothing is published again", n)
	}
}

// TestWhatTheOwnerToldReturnsFromTheLog: what was forgotten, in its place among the decisions, and what was done by hand.
func TestWhatTheOwnerToldReturnsFromTheLog(t *testing.T) {
	w := newDeployment(t)
	w.Exec("INSERT INTO users (id) VALUES ('ann')")
	ids := []events.UUID{events.NewUUIDv7(recorded), events.NewUUIDv7(recorded), events.NewUUIDv7(recorded), events.NewUUIDv7(recorded)}
	told := func(user, op, feature string) {
		w.emit(&events.Event{Envelope: events.Envelope{Type: events.TypePreferenceChanged},
			Preference: &events.Preference{UserID: user, Op: op, Feature: feature, RecordedAt: recorded}})
	}
	told("bob", events.PreferencePin, "category:event")
	w.action(events.TypeActionApproved, ids[0], "ann", 1, 0)
	told("ann", events.PreferenceForget, "category:promo")
	w.action(events.TypeActionApproved, ids[1], "ann", 1, 0)
	told("ann", events.PreferenceReset, "")
	told("ann", events.PreferenceForget, "category:promo")
	w.action(events.TypeActionApproved, ids[2], "ann", 1, 0)
	w.emit(&events.Event{Envelope: events.Envelope{Type: events.TypeActionPerformed}, Action: &events.Action{
		ActionID: ids[3], UserID: "ann", Action: "create_task", ProposedAt: recorded, RecordedAt: recorded,
		HasFeatures: true, FeatureRule: events.FeatureRule, Mail: events.MailRef{ID: "mail"}, Policies: []int64{50, 3},
	}})
	stop := w.start()
	w.AwaitPublished()
	stop()
	w.forget(0, 0)
	w.start()
	w.untilReconciled()
	texts := func(sql string) []string {
		return world.Column[string](w, sql)
	}
	f := func(sql string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, texts(sql)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sql, diff)
		}
	}
	f("SELECT id || ' ' || forgets FROM users ORDER BY id", "ann 3", "bob 0")
	f("SELECT id || ' ' || forgets FROM actions ORDER BY forgets", ids[0].String()+" 0", ids[1].String()+" 1", ids[2].String()+" 3")
	f("SELECT user_id || ' ' || feature || ' ' || forget FROM forgotten_features ORDER BY forget", "bob category:event 0", "ann category:promo 1", "ann  2", "ann category:promo 3")
	f("SELECT id || ' ' || user_id || ' ' || email_id || ' ' || action || ' ' || policies::text FROM performed_actions",
		ids[3].String()+" ann mail create_task {50,3}")
	f("SELECT nextval('policies_id_seq')::text", "51")
}

// accepted waits until the relay has read the log of a database that was restored.
func (w *deployment) accepted() {
	w.Helper()
	w.Until("the relay has accepted the database", func() bool {
		restored, err := outbox.Restored(w.Context(), w.Pool)
		return err == nil && !restored
	})
}

// people lists the persons that there are, each with the number of their actions and tokens.
func (w *deployment) people() []string {
	w.Helper()
	return world.Column[string](w, `
SELECT id || ' ' || (SELECT count(*) FROM actions a WHERE a.user_id = u.id) || ' ' || (SELECT count(*) FROM tokens t WHERE t.user_id = u.id)
FROM users u ORDER BY id`)
}

// Of a person who was erased after the backup, the backup's rows go; what came after the erasure is a new person's.
func TestErasureReturnsFromTheLog(t *testing.T) {
	w := newDeployment(t)
	w.Exec("INSERT INTO users (id, created_at) VALUES ('ann', $1), ('bob', $1)", recorded.Add(-time.Hour))
	w.Exec("INSERT INTO tokens (hash, user_id, kind, created_at) VALUES ('a', 'ann', 'bearer', $1), ('b', 'bob', 'bearer', $1)", recorded.Add(-time.Hour))
	w.action(events.TypeActionApproved, events.NewUUIDv7(recorded), "ann", 1, 0)
	w.action(events.TypeActionApproved, events.NewUUIDv7(recorded), "bob", 1, 0)
	w.emit(erasure("ann", recorded.Add(time.Minute)))
	w.action(events.TypeActionApproved, events.NewUUIDv7(recorded), "cid", 1, 0) // whom the backup does not know
	w.emit(erasure("cid", recorded.Add(time.Minute)))
	w.actionAt(events.TypeActionProposed, events.NewUUIDv7(recorded), "bob", 2, 0, recorded.Add(2*time.Minute))
	w.emit(erasure("bob", recorded.Add(3*time.Minute)))
	w.actionAt(events.TypeActionProposed, events.NewUUIDv7(recorded), "bob", 3, 0, recorded.Add(4*time.Minute))
	stop := w.start()
	w.AwaitPublished()
	stop()
	w.forget(1, 1)
	w.Exec("UPDATE outbox SET recorded_at = $1", recorded)
	w.Exec("INSERT INTO actions (id, user_id, policy_id, email_id, action, confidence, features, feature_rule, created_at) VALUES (gen_random_uuid(), 'ann', 1, 'm', 'archive_email', 0.7, '{}', 1, $1)", recorded)
	w.start()
	w.accepted()
	if diff := cmp.Diff([]string{"bob 1 0"}, w.people()); diff != "" {
		t.Errorf("persons, their actions and tokens (-want +got):\n%s", diff)
	}
	if n := w.Int("SELECT count(*) FROM outbox WHERE user_id = 'ann' OR aggregateid = 'ann' OR position('ann'::bytea IN payload) > 0"); n != 0 {
		t.Errorf("%d rows of the backup's outbox still hold the erased person", n)
	}
}

// readAnew runs a relay that knows nothing of the log any more, until it has read it.
func (w *deployment) readAnew() {
	w.Helper()
	w.Exec("DELETE FROM relay_partitions")
	w.Exec("UPDATE deployment SET timeline_id = timeline_id - 1")
	stop := w.start()
	w.accepted()
	w.AwaitPublished()
	stop()
}

// A database that knows of an erasure, or has a new person under the id, keeps what it has when its relay reads a log anew
// whose rows are pruned.
func TestLogReadAnewBringsNoErasedPersonBack(t *testing.T) {
	w := newDeployment(t)
	w.action(events.TypeActionApproved, events.NewUUIDv7(recorded), "ann", 1, 0)
	w.action(events.TypeActionApproved, events.NewUUIDv7(recorded), "bob", 1, 0)
	stop := w.start()
	w.AwaitPublished()
	stop()
	_, err := person.Erase(t.Context(), w.Pool, "ann")
	w.Must(err)
	for _, erasure := range []string{"waits", "was sent", "is pruned"} {
		w.Exec("DELETE FROM users")
		w.Exec("DELETE FROM outbox WHERE type <> $1 OR $2", events.TypeUserErased.String(), erasure == "is pruned")
		want := []string{"bob 1 0"}
		if erasure == "is pruned" {
			w.Exec("INSERT INTO users (id) VALUES ('ann')")
			w.Exec("INSERT INTO tokens (hash, user_id, kind) VALUES ('a', 'ann', 'bearer')")
			want = []string{"ann 0 1", "bob 1 0"}
		}
		w.readAnew()
		if diff := cmp.Diff(want, w.people()); diff != "" {
			t.Errorf("while the erasure %s: persons, their actions and tokens (-want +got):\n%s", erasure, diff)
		}
	}
}

func TestStrangersRecordsChangeNothing(t *testing.T) {
	w := newDeployment(t)
	w.foreign("ann", 5)
	w.add(3, "ann")
	w.start()
	w.AwaitPublished()
	w.checkForeign(5)
	if n := w.Int("SELECT count(*) FROM relays"); n != 1 {
		t.Errorf("%d terms, want 1", n)
	}
}

func (w *deployment) checkForeign(n int) {
	w.Helper()
	foreign := 0
	for _, r := range w.log() {
		if strings.HasPrefix(r.id, "foreign") {
			foreign++
		}
	}
	if foreign != n {
		w.Errorf("%d foreign records, want %d", foreign, n)
	}
}

func TestFirstPublishWaitsUntilItsPartitionIsRead(t *testing.T) {
	w := newDeployment(t)
	w.add(5, "ann")
	fault := w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.UnknownServerError, Count: -1,
		Topic: w.Conn.Topic(events.TopicActions), Partitions: []int32{int32(w.PartitionOf("ann"))}})
	w.start()
	w.Must(fault.Wait(t.Context(), 3))
	if n := w.Int("SELECT count(*) FROM outbox WHERE relay_id IS NOT NULL OR published_at IS NOT NULL"); n != 0 {
		t.Errorf("%d rows have sequences before their partition was read, want none", n)
	}
	fault.Remove()
	w.AwaitPublished()
	w.checkLog()
}

// A partition without a leader holds up nobody but its own persons, before and after a restore.
func TestPartitionWithoutLeaderHoldsOnlyItsRows(t *testing.T) {
	for name, restored := range map[string]bool{"as it was": false, "restored from a backup": true} {
		t.Run(name, func(t *testing.T) {
			w := newDeployment(t)
			away := w.PartitionOf("ann")
			others := slices.DeleteFunc([]string{"bob", "cid", "dan", "eve"}, func(user string) bool { return w.PartitionOf(user) == away })
			everybody := append(others, "ann")
			w.add(4*len(everybody), everybody...)
			stop := w.start()
			w.AwaitPublished()
			stop()
			if restored {
				w.forget(0, w.added) // the rows of all are in the log, and must not be published again under other sequences
			}
			restore := w.Leaderless(events.TopicActions, away)
			w.add(2*len(everybody), everybody...)
			w.start()
			w.Until("the rows of the other partitions are published", func() bool {
				return w.Int("SELECT count(*) FROM outbox WHERE published_at IS NULL AND user_id <> 'ann'") == 0
			})
			if n := w.Int("SELECT count(*) FROM outbox WHERE relay_id IS NOT NULL AND user_id = 'ann' AND published_at IS NULL"); n != 0 {
				t.Errorf("%d rows got sequences before their partition was read", n)
			}
			w.checkWaits(restored, "ann", restored)
			w.checkWaits(restored, others[0], false)
			if n := w.Int("SELECT count(*) FROM relays WHERE reconciled_at IS NOT NULL"); n != 1-count(restored) {
				t.Errorf("%d terms have read the whole log", n)
			}
			restore()
			w.AwaitPublished()
			w.accepted()
			if repeats := w.checkLog(); repeats != 0 {
				t.Errorf("%d repeats, want none", repeats)
			}
			if n := w.Int("SELECT count(*) FROM restored_partitions"); n != 0 {
				t.Errorf("%d partitions are left for the next restore to find", n)
			}
		})
	}
}

func count(one bool) int {
	if one {
		return 1
	}
	return 0
}

// checkWaits checks whether the database counts as restored, and whether a person has to wait then.
func (w *deployment) checkWaits(restored bool, user string, want bool) {
	w.Helper()
	found, err := outbox.Restored(w.Context(), w.Pool)
	if err != nil || found != restored {
		w.Errorf("Restored = %t, %v; want %t", found, err, restored)
	}
	b := &pgx.Batch{}
	outbox.RefuseRestored(b, user)
	err = w.Pool.SendBatch(w.Context(), b).Close()
	if waits := errors.Is(err, outbox.ErrRestored); err != nil && !waits || found && waits != want {
		w.Errorf("%s waits: %t, %v; want %t", user, waits, err, want)
	}
}

// What a restored database lacks returns for each person when their partition is read, before anything of theirs goes out.
func TestDecisionsOfAPartitionReturnBeforeItsRowsGoOut(t *testing.T) {
	w := newDeployment(t)
	away := w.PartitionOf("ann")
	other := "bob"
	if w.PartitionOf(other) == away {
		other = "cid"
	}
	ids := map[string]events.UUID{"ann": events.NewUUIDv7(recorded), other: events.NewUUIDv7(recorded)}
	for user, id := range ids {
		w.action(events.TypeActionApproved, id, user, 1, 0)
	}
	stop := w.start()
	w.AwaitPublished()
	stop()
	w.forget(0, 0)
	restore := w.Leaderless(events.TopicActions, away)
	w.start()
	status := "SELECT count(*) FROM actions WHERE user_id = $1 AND status = 'approved'"
	w.Until("the other's decision is back", func() bool { return w.Int(status, other) == 1 })
	w.add(1, other)
	w.AwaitPublished()
	if n := w.Int(status, "ann"); n != 0 {
		t.Error("the decision is back of a person whose partition cannot be read")
	}
	restore()
	w.Until("hers too", func() bool { return w.Int(status, "ann") == 1 })
	w.accepted()
}
