package warehouse

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// capture is a change topic in Debezium's format.
type capture struct {
	*deployment
	topic    *Topic
	producer *kgo.Client
}

func newCapture(w *deployment) *capture {
	w.Helper()
	c := &capture{deployment: w, topic: &Topic{Broker: w.Conn, Topic: w.Settings.TopicPrefix + "acme.public.applications"}}
	c.create()
	c.producer = c.Client(kgo.DefaultProduceTopic(c.topic.Topic))
	return c
}

func captured(t *testing.T) *capture {
	t.Helper()
	w := newDeployment(t)
	w.Kfake()
	return newCapture(w)
}

func (c *capture) create() {
	c.Helper()
	_, err := c.topic.Broker.Admin.CreateTopic(c.Context(), 3, 1, nil, c.topic.Topic)
	c.Must(err)
}

func keyOf(n int) string { return fmt.Sprintf(`{"system":"greenhouse","application_id":"%d"}`, n) }

func rowJSON(n int, stage string) string {
	return fmt.Sprintf(`{"system":"greenhouse","application_id":"%d","addresses":["C%d@mail.example"],"company":"Acme","stage":%q,`+
		`"last_stage_change":"2026-03-01T10:00:00Z","interview_date":null,"synced_at":"2026-03-09T10:00:00Z"}`, n, n, stage)
}

func changed(op string, n int, stage string) *kgo.Record {
	value := fmt.Sprintf(`{"op":%q,"before":null,"after":%s}`, op, rowJSON(n, stage))
	if op == "d" {
		value = fmt.Sprintf(`{"op":"d","before":%s,"after":null}`, rowJSON(n, stage))
	}
	return &kgo.Record{Key: []byte(keyOf(n)), Value: []byte(value)}
}

func (c *capture) write(records ...*kgo.Record) {
	c.Helper()
	c.Must(c.producer.ProduceSync(c.Context(), records...).FirstErr())
}

// writeSnapshot writes the rows from..to-1 like an initial snapshot.
func (c *capture) writeSnapshot(from, to int) {
	c.Helper()
	var records []*kgo.Record
	for n := from; n < to; n++ {
		records = append(records, changed("r", n, "Onsite"))
	}
	c.write(records...)
}

// read syncs the topic, an hour after the last time.
func (c *capture) read(accept ...*Acceptance) *Summary {
	c.Helper()
	c.Advance(guardWindow + time.Minute)
	var who *Acceptance
	if len(accept) > 0 {
		who = accept[0]
	}
	summary, err := SyncTopic(c.Context(), c.cfg, c.topic, who)
	c.Must(err)
	return summary
}

var ann = &Acceptance{Actor: "ann", Reason: "it is right"}

func TestATopicIsReadOnceAndGoesOn(t *testing.T) {
	c := captured(t)
	c.writeSnapshot(1, 51)
	if got := c.read(); got.counts() != (counts{Added: 50}) || got.Applications != 50 {
		t.Fatalf("snapshot: %+v", got)
	}
	if got := c.read().counts(); got != (counts{}) {
		t.Errorf("again: %+v", got)
	}
	c.writeSnapshot(1, 51) // a connector without its offsets starts over
	if got := c.read().counts(); got != (counts{}) {
		t.Errorf("a repeated snapshot: %+v", got)
	}
	c.write(changed("u", 1, "Screen"), changed("u", 1, "Offer"), changed("d", 2, "Onsite"), &kgo.Record{Key: []byte(keyOf(2))},
		changed("c", 60, "Applied"), changed("d", 3, ""), changed("c", 3, "Applied"))
	if got := c.read().counts(); got != (counts{Added: 1, Changed: 2, Removed: 1}) {
		t.Errorf("changes: %+v", got)
	}
	stages := c.stages()
	want := map[string]string{"greenhouse/1": "Offer", "greenhouse/2": "", "greenhouse/3": "Applied", "greenhouse/60": "Applied"}
	for key, stage := range want {
		if stages[key] != stage {
			t.Errorf("%s is at %q, want %q", key, stages[key], stage)
		}
	}
	if got := c.published()[0].Addresses; len(got) != 1 || !strings.HasPrefix(got[0], "c") {
		t.Errorf("addresses %v", got)
	}
}

func TestABrokenRecordIsSkipped(t *testing.T) {
	c := captured(t)
	c.write(&kgo.Record{Key: []byte("?"), Value: []byte("not JSON")}, &kgo.Record{Value: []byte(`{"op":"x"}`)}, &kgo.Record{Key: []byte("1")},
		changed("c", 1, "Onsite"))
	if got := c.read(); got.Broken != 3 || got.Added != 1 || got.Held != nil {
		t.Errorf("%+v", got)
	}
	if logged := c.Logs.String(); !strings.Contains(logged, "is not a JSON object") || !strings.Contains(logged, "unknown op") {
		t.Error("the broken records are not reported")
	}
}

func TestWhatHoldsATopic(t *testing.T) {
	for name, test := range map[string]struct {
		records []*kgo.Record
		reason  HoldReason
		detail  string
		left    int
	}{
		"a mass delete": {func() (list []*kgo.Record) {
			for n := 1; n <= 60; n++ {
				list = append(list, changed("d", n, ""))
			}
			return list
		}(), HoldRemoved, "60 of 100 applications of greenhouse would vanish", 40},
		"a truncation": {[]*kgo.Record{changed("u", 1, "Offer"), {Value: []byte(`{"op":"t"}`)}, changed("c", 200, "Applied")}, HoldRemoved, "the table was truncated", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := captured(t)
			c.writeSnapshot(1, 101)
			c.read()
			for _, record := range test.records {
				record.Partition = 0
			}
			c.writeTo(0, test.records...)
			for range 2 {
				if got := c.read(); got.Held == nil || got.Held.Reason != test.reason || !strings.Contains(got.Held.Detail, test.detail) {
					t.Fatalf("held: %+v", got.Held)
				}
			}
			if n := len(c.stages()); n != 100 {
				t.Errorf("%d applications are left of a held topic", n)
			}
			if got := c.read(ann); got.Held != nil {
				t.Fatalf("accepted: %+v", got.Held)
			}
			if n := len(c.stages()); n != test.left {
				t.Errorf("%d applications are left, want %d", n, test.left)
			}
			c.writeTo(0, changed("d", 61, ""))
			if got := c.read(); got.Held != nil && got.Held.Reason != "" && test.left > 1 {
				t.Errorf("held again after it was accepted: %+v", got.Held)
			}
			if n := c.Int("SELECT count(*) FROM warehouse_audit WHERE actor = 'ann'"); n == 0 {
				t.Error("the acceptance is not audited")
			}
		})
	}
}

// writeTo writes to one partition, so that the order of the records is known.
func (c *capture) writeTo(partition int32, records ...*kgo.Record) {
	c.Helper()
	producer := c.Client(kgo.DefaultProduceTopic(c.topic.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, record := range records {
		record.Partition = partition
	}
	c.Must(producer.ProduceSync(c.Context(), records...).FirstErr())
}

func TestDriftHoldsATopic(t *testing.T) {
	c := captured(t)
	c.writeSnapshot(1, 11)
	c.read()
	record := changed("u", 1, "Offer")
	record.Value = []byte(strings.ReplaceAll(string(record.Value), `"stage"`, `"stage_name"`))
	c.write(record)
	for _, accept := range [][]*Acceptance{nil, {ann}} {
		if got := c.read(accept...); got.Held == nil || got.Held.Reason != HoldSchema || !strings.Contains(got.Held.Detail, "column stage is missing") {
			t.Errorf("held: %+v", got.Held)
		}
	}
	if n := len(c.stages()); n != 10 {
		t.Errorf("%d applications are left", n)
	}
}

func TestATopicThatIsNotWhatItWas(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(*capture)
		detail string
	}{
		"recreated": {func(c *capture) {
			_, err := c.topic.Broker.Admin.DeleteTopics(c.Context(), c.topic.Topic)
			c.Must(err)
			c.create()
		}, "belongs to a recreated topic of that name"},
		"records deleted unread": {func(c *capture) {
			for n := 10; n < 40; n++ {
				c.writeTo(1, changed("c", n, "Applied"))
			}
			ends, err := c.topic.Broker.Admin.ListEndOffsets(c.Context(), c.topic.Topic)
			c.Must(err)
			_, err = c.topic.Broker.Admin.DeleteRecords(c.Context(), ends.Offsets())
			c.Must(err)
		}, "30 records of partition 1 were deleted unread"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := captured(t)
			c.writeTo(1, changed("c", 1, "Onsite"), changed("c", 2, "Onsite"))
			c.read()
			test.damage(c)
			for range 2 {
				if got := c.read(); got.Held == nil || got.Held.Reason != HoldLog || !strings.Contains(got.Held.Detail, test.detail) {
					t.Fatalf("held: %+v", got.Held)
				}
			}
			if got := c.read(ann); got.Held != nil {
				t.Fatalf("accepted: %+v", got.Held)
			}
			c.writeTo(1, changed("u", 2, "Offer"))
			if got := c.read().counts(); got != (counts{Changed: 1}) {
				t.Errorf("after it was accepted: %+v", got)
			}
		})
	}
}

func TestPositionAndEventCommitTogether(t *testing.T) {
	c := captured(t)
	c.writeSnapshot(1, 11)
	c.Exec(`CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`)
	for _, table := range []string{"warehouse_positions", "warehouse_rows", "outbox"} {
		c.Exec("CREATE TRIGGER die AFTER INSERT ON " + table + " FOR EACH STATEMENT EXECUTE FUNCTION die()")
		if _, err := SyncTopic(t.Context(), c.cfg, c.topic, nil); err == nil {
			t.Fatal("the connection did not die")
		}
		c.Exec("DROP TRIGGER die ON " + table)
		if n := c.Int("SELECT (SELECT count(*) FROM warehouse_positions) + (SELECT count(*) FROM warehouse_rows) + (SELECT count(*) FROM outbox)"); n != 0 {
			t.Errorf("%s: %d rows are left", table, n)
		}
	}
	if got := c.read().counts(); got != (counts{Added: 10}) {
		t.Errorf("in the end: %+v", got)
	}
}

// What the other partitions hold is read, and it is said that one was not.
func TestAPartitionOfATopicWithoutLeaderHoldsUpNoOther(t *testing.T) {
	c := captured(t)
	c.writeTo(0, changed("c", 1, "Onsite"))
	c.writeTo(1, changed("c", 2, "Onsite"))
	restore := c.Leaderless(c.topic.Topic, 1)
	if _, err := SyncTopic(t.Context(), c.cfg, c.topic, nil); err == nil || !strings.Contains(err.Error(), "no answer about partitions [1]") {
		t.Errorf("reading ends with %v, want the partition that was not read", err)
	}
	if diff := cmp.Diff(map[string]string{"greenhouse/1": "Onsite"}, c.stages()); diff != "" {
		t.Error(diff)
	}
	restore()
	c.Eventually("the other is read", func() error {
		_, err := SyncTopic(t.Context(), c.cfg, c.topic, nil)
		return err
	})
	if diff := cmp.Diff(map[string]string{"greenhouse/1": "Onsite", "greenhouse/2": "Onsite"}, c.stages()); diff != "" {
		t.Error(diff)
	}
}

func TestFollowingATopic(t *testing.T) {
	c := captured(t)
	c.cfg.Now = time.Now
	stop := c.Background("the follower", func(ctx context.Context) error { return FollowTopic(ctx, c.cfg, c.topic, func(*Summary) {}) })
	for n := 1; n <= 3; n++ {
		c.write(changed("c", n, "Onsite"))
		c.Until("the change is published", func() bool { return c.Int("SELECT count(*) FROM outbox") == n })
	}
	stop()
}

// TestTransactionsOfATopic checks that aborted records are not read, and that control records are not a gap.
func TestTransactionsOfATopic(t *testing.T) {
	w := newDeployment(t)
	w.Kafka()
	c := newCapture(w)
	producer := c.Client(kgo.DefaultProduceTopic(c.topic.Topic), kgo.TransactionalID(c.topic.Topic+" debezium"))
	for n, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		w.Must(producer.BeginTransaction())
		w.Must(producer.ProduceSync(t.Context(), changed("c", n, "Onsite")).FirstErr())
		w.Must(producer.EndTransaction(t.Context(), commit))
	}
	if got := c.read().counts(); got != (counts{Added: 2}) {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(map[string]string{"greenhouse/0": "Onsite", "greenhouse/2": "Onsite"}, c.stages()); diff != "" {
		t.Error(diff)
	}
	began := time.Now()
	if got := c.read().counts(); got != (counts{}) || time.Since(began) > idleEvery {
		t.Errorf("again: %+v after %s", got, time.Since(began))
	}
}

// What stands behind a transaction that is open for long is no part of what was synced, and is not passed over in silence.
func TestAnOpenTransactionOfATopicIsTold(t *testing.T) {
	t.Parallel()
	w := newDeployment(t)
	w.Kafka()
	c := newCapture(w)
	producer := c.Client(kgo.DefaultProduceTopic(c.topic.Topic), kgo.TransactionalID(c.topic.Topic+" debezium"))
	begin := func(n int) {
		w.Must(producer.BeginTransaction())
		w.Must(producer.ProduceSync(t.Context(), changed("c", n, "Onsite")).FirstErr())
	}
	begin(1)
	const told = "an open transaction of another producer holds up 1 records of"
	if _, err := SyncTopic(t.Context(), c.cfg, c.topic, nil); err == nil || !strings.Contains(err.Error(), told) {
		t.Errorf("reading ends with %v, want the open transaction", err)
	}
	list, err := ReadStatus(t.Context(), c.Pool)
	w.Must(err)
	if len(list) != 1 || !strings.Contains(list[0].Error, told) {
		t.Errorf("the status is %+v", list)
	}
	w.Must(producer.EndTransaction(t.Context(), kgo.TryCommit))
	if got := c.read().counts(); got != (counts{Added: 1}) {
		t.Errorf("after its end: %+v", got)
	}
	// One that ends soon is awaited.
	begin(2)
	ended := make(chan error, 1)
	go func() {
		_, err := SyncTopic(context.Background(), c.cfg, c.topic, nil)
		ended <- err
	}()
	w.Must(producer.EndTransaction(t.Context(), kgo.TryCommit))
	w.Must(<-ended)
	if got := c.read().counts(); got != (counts{}) && got != (counts{Added: 1}) {
		t.Errorf("again: %+v", got)
	}
	if diff := cmp.Diff(map[string]string{"greenhouse/1": "Onsite", "greenhouse/2": "Onsite"}, c.stages()); diff != "" {
		t.Error(diff)
	}
}
