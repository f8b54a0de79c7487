package lag_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers/lag"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestSecondsAreTheAgeOfTheNextRecord(t *testing.T) {
	w := newGroup(t)
	w.publish(0, 90250*time.Millisecond, 30*time.Second, 7*time.Millisecond)
	w.join()
	for _, c := range []struct {
		next    int64
		records int64
		seconds float64
		status  lag.Status
	}{{0, 3, 90.25, lag.Lagging}, {1, 2, 30, lag.Lagging}, {2, 1, 0.007, lag.Lagging}, {3, 0, 0, lag.OK}} {
		w.position(1, 0, c.next)
		p := w.read().Partitions[0]
		number(t, "position", p.Position, c.next)
		number(t, "lag_records", p.LagRecords, c.records)
		number(t, "lost_records", p.LostRecords, 0)
		seconds(t, p.LagSeconds, c.seconds)
		status(t, p.Status, p.Cause, c.status, "")
	}
}

func TestRecordDatedAfterNowHasNoAge(t *testing.T) {
	w := newGroup(t)
	w.publish(0, -time.Minute)
	w.position(1, 0, 0)
	p := w.read().Partitions[0]
	number(t, "lag_records", p.LagRecords, 1)
	unknown(t, "lag_seconds", p.LagSeconds)
}

func TestNeverReadPartitionIsBehindByItsWholeLog(t *testing.T) {
	w := newGroup(t)
	w.publish(1, 5*time.Second, time.Second)
	g := w.read()
	unknown(t, "position", g.Partitions[1].Position)
	number(t, "lag_records", g.Partitions[1].LagRecords, 2)
	seconds(t, g.Partitions[1].LagSeconds, 5)
	status(t, g.Status, g.Cause, lag.Stopped, "2 of 2 partitions: the group has no member")
}

func TestLostRecordsAreANumberOfTheirOwn(t *testing.T) {
	w := newGroup(t)
	w.publish(0, time.Minute, time.Minute, time.Minute, time.Second, time.Second)
	w.position(1, 0, 1)
	w.position(1, 1, 0)
	w.join()
	w.DeleteBefore(events.TopicActions, 0, 3)

	g := w.read()
	p := g.Partitions[0]
	number(t, "lag_records", p.LagRecords, 2)
	number(t, "lost_records", p.LostRecords, 2)
	unknown(t, "lag_seconds", p.LagSeconds)
	status(t, p.Status, p.Cause, lag.Lost, "2 records are gone unread: the log begins at 3, above the position 1")
	status(t, g.Status, g.Cause, lag.Lost, "1 of 2 partitions")
	number(t, "total lag_records", g.Totals.LagRecords, 2)
	number(t, "total lost_records", g.Totals.LostRecords, 2)
	seconds(t, g.Totals.LagSeconds, 0)
	if g.Totals.LagSecondsUnknown != 1 {
		t.Errorf("%d partitions without seconds, want 1", g.Totals.LagSecondsUnknown)
	}
}

func TestHaltedPartitionTellsItsReason(t *testing.T) {
	w := newGroup(t)
	w.publish(0, time.Second)
	w.position(1, 0, 0)
	w.position(1, 1, 0)
	w.Exec("UPDATE positions SET state = 'halted', halt_reason = 'sequence', halt_detail = 'number 3 is missing' WHERE partition = 0")
	w.join()
	g := w.read()
	status(t, g.Partitions[0].Status, g.Partitions[0].Cause, lag.Halted, "halted: sequence: number 3 is missing")
	number(t, "lag_records", g.Partitions[0].LagRecords, 1)
	status(t, g.Partitions[1].Status, g.Partitions[1].Cause, lag.OK, "")
	status(t, g.Status, g.Cause, lag.Halted, "1 of 2 partitions: halted: sequence")
}

func TestOpenTransactionIsNotReadable(t *testing.T) {
	t.Run("in process", func(t *testing.T) { openTransaction(t, newGroup(t)) })
	t.Run("real", func(t *testing.T) { openTransaction(t, onKafka(t)) })
}

func openTransaction(t *testing.T, w *group) {
	w.publish(0, time.Minute)
	w.position(1, 0, 1)
	transactional := w.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(w.Conn.Topic("lag test")))
	begin := func(age time.Duration) {
		w.Must(transactional.BeginTransaction())
		w.Must(transactional.ProduceSync(t.Context(), w.record(0, age)).FirstErr())
	}
	look := func(what string, records int64, age float64) {
		t.Helper()
		w.Eventually(what, func() error { // a mark is written after its transaction ended
			lag := *w.read().Partitions[0].LagRecords
			return world.Want(lag >= records, "the lag is %d", lag)
		})
		p := w.read().Partitions[0]
		number(t, what+": lag_records", p.LagRecords, records)
		seconds(t, p.LagSeconds, age)
	}
	begin(10 * time.Second)
	look("open", 0, 10)
	w.Must(transactional.EndTransaction(t.Context(), kgo.TryAbort))
	look("aborted", 2, 0) // the record and the mark are offsets, but nothing waits
	begin(20 * time.Second)
	look("open behind an aborted one", 2, 20)
	w.Must(transactional.EndTransaction(t.Context(), kgo.TryCommit))
	look("committed", 4, 20)
}

// What stands behind a transaction that nobody ends is no lag that a group could catch up, and not nothing either.
func TestOpenTransactionBlocksWhatStandsBehindIt(t *testing.T) {
	t.Run("in process", func(t *testing.T) { blockedBehindTransaction(t, newGroup(t)) })
	t.Run("real", func(t *testing.T) { blockedBehindTransaction(t, onKafka(t)) })
}

func blockedBehindTransaction(t *testing.T, w *group) {
	w.join()
	w.publish(0, time.Minute)
	w.position(1, 0, 1)
	w.position(1, 1, 0)
	cfg := w.config()
	cfg.Looks = 3
	monitor := newMonitor(t, cfg)
	if g := w.look(monitor); g.Status != lag.OK {
		t.Errorf("before the transaction: %s", g.Status)
	}
	transactional := w.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(w.Conn.Topic("stranger")))
	w.Must(transactional.BeginTransaction())
	w.Must(transactional.ProduceSync(t.Context(), w.record(0, 30*time.Second)).FirstErr())
	for range 100 {
		w.publish(0, 0)
	}
	const cause = "an open transaction of another producer holds up 101 records from offset 1 on"
	p := w.read().Partitions[0]
	number(t, "lag_records", p.LagRecords, 0)
	number(t, "blocked_records", p.BlockedRecords, 101)
	number(t, "high_watermark", p.HighWatermark, 102)
	seconds(t, p.LagSeconds, 30)
	status(t, p.Status, p.Cause, lag.Blocked, cause)

	for range cfg.Looks {
		w.look(monitor)
	}
	g := w.look(monitor)
	status(t, g.Partitions[0].Status, g.Partitions[0].Cause, lag.Blocked, cause)
	status(t, g.Partitions[1].Status, g.Partitions[1].Cause, lag.OK, "")
	status(t, g.Status, g.Cause, lag.Blocked, "1 of 2 partitions")
	number(t, "total blocked_records", g.Totals.BlockedRecords, 101)
	if g.Totals.ETASeconds != nil {
		t.Errorf("eta %v, want none", *g.Totals.ETASeconds)
	}

	w.Must(transactional.EndTransaction(t.Context(), kgo.TryAbort))
	w.Eventually("the mark of the end can be read", func() error {
		p := w.read().Partitions[0]
		return world.Want(p.LagRecords != nil && *p.LagRecords == 102 && *p.BlockedRecords == 0, "%v readable, %v blocked", show(p.LagRecords), show(p.BlockedRecords))
	})
}

// A partition without a leader is unknown; its neighbours are not.
func TestPartitionWithoutLeaderHidesNoOther(t *testing.T) {
	w := newGroup(t)
	w.publish(0, time.Minute, time.Second)
	w.publish(1, time.Minute)
	w.position(1, 0, 1)
	w.position(1, 1, 0)
	w.join()
	w.Leaderless(events.TopicActions, 1)
	g := w.read()
	number(t, "lag_records", g.Partitions[0].LagRecords, 1)
	number(t, "blocked_records", g.Partitions[0].BlockedRecords, 0)
	seconds(t, g.Partitions[0].LagSeconds, 1)
	unknown(t, "lag_records", g.Partitions[1].LagRecords)
	unknown(t, "lag_seconds", g.Partitions[1].LagSeconds)
	status(t, g.Partitions[1].Status, g.Partitions[1].Cause, lag.Unknown, "the partition may have no leader")
}

func TestMirrorIsShownWithItsDrift(t *testing.T) {
	w := newGroup(t)
	w.publish(0, 3*time.Second, 2*time.Second, time.Second)
	w.position(1, 0, 2)
	w.CommitOffsets("weights", events.TopicActions, 1)
	p := w.read().Partitions[0]
	number(t, "mirror_offset", p.MirrorOffset, 1)
	number(t, "mirror_drift", p.MirrorDrift, 1)
	seconds(t, p.LagSeconds, 1)
	unknown(t, "mirror_drift", w.read().Partitions[1].MirrorDrift)
}

func TestPostgresAwayLeavesTheMirror(t *testing.T) {
	w := newGroup(t)
	w.publish(0, 3*time.Second, 2*time.Second)
	w.publish(1, time.Second)
	w.position(1, 0, 2)
	w.position(1, 1, 1)
	w.CommitOffsets("weights", events.TopicActions, 1)
	w.join()
	cfg := w.config()
	cfg.Pool = w.unreachable()
	report, err := lag.Read(t.Context(), cfg)
	w.Must(err)
	if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "PostgreSQL does not tell the positions") {
		t.Errorf("notes %q", report.Notes)
	}
	g := report.Groups[0]
	if g.Source != lag.SourceMirror || g.Version != nil {
		t.Errorf("source %s, version %v", g.Source, show(g.Version))
	}
	p := g.Partitions[0]
	number(t, "position", p.Position, 1)
	number(t, "lag_records", p.LagRecords, 1)
	seconds(t, p.LagSeconds, 2)
	status(t, p.Status, p.Cause, lag.Lagging, "PostgreSQL is away")

	p = g.Partitions[1] // its mirror was never written
	unknown(t, "position", p.Position)
	unknown(t, "lag_records", p.LagRecords)
	unknown(t, "lost_records", p.LostRecords)
	unknown(t, "lag_seconds", p.LagSeconds)
	status(t, p.Status, p.Cause, lag.Unknown, "no mirrored position")
	number(t, "total lag_records", g.Totals.LagRecords, 1)
	if g.Totals.LagRecordsUnknown != 1 || g.Totals.LostRecordsUnknown != 1 || g.Totals.LagSecondsUnknown != 1 {
		t.Errorf("totals %+v, want one unknown each", g.Totals)
	}
}

func TestKafkaAwayLeavesPositionsAndHalts(t *testing.T) {
	w := newGroup(t)
	w.position(1, 0, 4)
	w.position(1, 1, 5)
	w.Exec("UPDATE positions SET state = 'halted', halt_reason = 'gap', halt_detail = 'd' WHERE partition = 1")
	cfg := w.config()
	away, err := broker.Open(config.Kafka{KafkaBrokers: []string{"127.0.0.1:1"}})
	w.Must(err)
	t.Cleanup(away.Close)
	cfg.Broker, cfg.Timeout = away, time.Second
	report, err := lag.Read(t.Context(), cfg)
	w.Must(err)
	g := report.Groups[0]
	number(t, "position", g.Partitions[0].Position, 4)
	status(t, g.Partitions[0].Status, g.Partitions[0].Cause, lag.Unknown, "Kafka is away")
	status(t, g.Partitions[1].Status, g.Partitions[1].Cause, lag.Halted, "halted: gap")
	unknown(t, "total lag_records", g.Totals.LagRecords)
	unknown(t, "total lag_seconds", g.Totals.LagSeconds)
	if g.Members != nil || g.Totals.LagRecordsUnknown != 2 {
		t.Errorf("members %v, %d unknown; want null, 2", g.Members, g.Totals.LagRecordsUnknown)
	}
	text, err := json.Marshal(report)
	w.Must(err)
	if !strings.Contains(string(text), `"lag_records":null,"lost_records":null,"lag_seconds":null`) {
		t.Errorf("unknowns are not null: %s", text)
	}

	cfg.Pool = w.unreachable()
	report, err = lag.Read(t.Context(), cfg)
	if err == nil || len(report.Notes) != 2 || report.Groups[0].Status != lag.Unknown {
		t.Errorf("with both away: %v, %+v", err, report)
	}
}

func TestVersionsBeingBuiltAreShownMarked(t *testing.T) {
	w := newGroup(t)
	w.publish(0, 3*time.Second, 2*time.Second)
	w.position(1, 0, 2)
	w.Exec("INSERT INTO versions (group_name, version, fold_version, state, paused) VALUES ('weights', 2, 1, 'building', true), ('weights', 3, 1, 'retired', false)")
	w.position(2, 0, 0)
	w.position(3, 0, 0)
	w.CommitOffsets("weights", events.TopicActions, 2, 0)
	report, err := lag.Read(t.Context(), w.config())
	w.Must(err)
	if len(report.Groups) != 2 {
		t.Fatalf("%d versions are shown, want the live one and the one being built", len(report.Groups))
	}
	live, building := report.Groups[0], report.Groups[1]
	if live.Building || *live.Version != 1 || !building.Building || *building.Version != 2 {
		t.Fatalf("versions %d (building %t), %d (building %t)", *live.Version, live.Building, *building.Version, building.Building)
	}
	number(t, "lag_records", live.Partitions[0].LagRecords, 0)
	p := building.Partitions[0]
	number(t, "lag_records", p.LagRecords, 2)
	seconds(t, p.LagSeconds, 3)
	unknown(t, "mirror_offset", p.MirrorOffset)
	status(t, p.Status, p.Cause, lag.Lagging, "paused")
}

func TestPositionOfAnotherTopicSaysNothing(t *testing.T) {
	w := newGroup(t)
	w.publish(0, time.Second)
	w.position(1, 0, 1)
	topic := w.Conn.Topic(events.TopicActions)
	_, err := w.Conn.Admin.DeleteTopics(t.Context(), topic)
	w.Must(err)
	w.Must(w.Conn.EnsureTopics(t.Context(), broker.Layout{Partitions: w.Partitions, ReplicationFactor: 1}))
	p := w.read().Partitions[0]
	number(t, "position", p.Position, 1)
	unknown(t, "lag_records", p.LagRecords)
	status(t, p.Status, p.Cause, lag.Unknown, "another topic of that name")
}

func TestPositionAboveTheEndSaysNothing(t *testing.T) {
	w := newGroup(t)
	w.publish(0, time.Second)
	w.position(1, 0, 7)
	p := w.read().Partitions[0]
	unknown(t, "lag_records", p.LagRecords)
	unknown(t, "lag_seconds", p.LagSeconds)
	status(t, p.Status, p.Cause, lag.Unknown, "the position 7 is above the log's end 1")
}

func TestMissingTopicSaysHowToCreateIt(t *testing.T) {
	_, settings := testenv.Kfake(t)
	pool, _ := testenv.Database(t)
	conn, err := broker.Open(settings)
	world.Must(t, err)
	t.Cleanup(conn.Close)
	report, err := lag.Read(t.Context(), lag.Config{Broker: conn, Pool: pool, Projections: projections})
	world.Must(t, err)
	if len(report.Groups) != len(projections) {
		t.Fatalf("%d groups, want all %d", len(report.Groups), len(projections))
	}
	for _, g := range report.Groups {
		status(t, g.Status, g.Cause, lag.Unknown, "create the topics with: applylens topics")
	}
}

func TestMembersAndOwnersAreShown(t *testing.T) {
	w := newGroup(t)
	w.join()
	g := w.read()
	if len(g.Members) != 1 || g.Members[0].ClientID != "tester" || len(g.Members[0].Partitions) != w.Partitions || g.KafkaState != "Stable" {
		t.Fatalf("members %+v in state %s", g.Members, g.KafkaState)
	}
	if g.Partitions[1].Member != g.Members[0].ID {
		t.Errorf("partition 1 belongs to %q, want %q", g.Partitions[1].Member, g.Members[0].ID)
	}
}

func TestUnknownGroupIsRefused(t *testing.T) {
	w := newGroup(t)
	cfg := w.config()
	cfg.Groups = []string{"weight"}
	if _, err := lag.Read(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), `no group "weight"`) {
		t.Errorf("Read = %v", err)
	}
}
