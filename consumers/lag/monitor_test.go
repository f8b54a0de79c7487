package lag_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers/lag"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/world"
)

func newMonitor(t *testing.T, cfg lag.Config) *lag.Monitor {
	t.Helper()
	monitor, err := lag.NewMonitor(cfg)
	world.Must(t, err)
	return monitor
}

// look takes a look a second after the last one.
func (w *group) look(monitor *lag.Monitor) *lag.Group {
	w.Helper()
	w.Advance(time.Second)
	report, err := monitor.Look(w.Context())
	w.Must(err)
	return &report.Groups[0]
}

func TestMonitorTellsStalledFromLagging(t *testing.T) {
	w := newGroup(t)
	w.join()
	w.position(1, 0, 0)
	w.position(1, 1, 0)
	cfg := w.config()
	cfg.Looks = 3
	monitor := newMonitor(t, cfg)
	expect := func(want lag.Status, cause, trend string) *lag.Group {
		t.Helper()
		g := w.look(monitor)
		status(t, g.Partitions[0].Status, g.Partitions[0].Cause, want, cause)
		if g.Totals.Trend != trend {
			t.Errorf("trend %q, want %q", g.Totals.Trend, trend)
		}
		return g
	}
	expect(lag.OK, "", "")
	w.publish(0, 0, 0, 0, 0, 0, 0)
	expect(lag.OK, "", "growing") // caught up a look ago
	expect(lag.OK, "", "growing")
	g := expect(lag.Stalled, "has not moved for 2s although a member owns it", "steady")
	if *g.Totals.RecordsPerSecond != 0 || g.Totals.ETASeconds != nil {
		t.Errorf("a stalled group reads %v/s, eta %v", *g.Totals.RecordsPerSecond, show(g.Totals.ETASeconds))
	}
	w.position(1, 0, 1)
	expect(lag.Lagging, "", "shrinking")
	w.position(1, 0, 2)
	g = expect(lag.Lagging, "", "shrinking")
	seconds(t, g.Totals.ETASeconds, 4) // 4 left, one a second
	if *g.Totals.RecordsPerSecond != 1 {
		t.Errorf("%v records per second, want 1", *g.Totals.RecordsPerSecond)
	}
	w.position(1, 0, 6)
	expect(lag.OK, "", "shrinking")
}

func TestOutageOfPostgresIsTheCauseOfAStall(t *testing.T) {
	w := newGroup(t)
	w.publish(0, time.Second)
	w.CommitOffsets("weights", events.TopicActions, 0, 0)
	w.join()
	cfg := w.config()
	cfg.Pool, cfg.Looks = w.unreachable(), 2
	monitor := newMonitor(t, cfg)
	w.look(monitor)
	p := w.look(monitor).Partitions[0]
	status(t, p.Status, p.Cause, lag.Stalled, "PostgreSQL is away")
}

func TestMonitorRunsUntilItsContextEnds(t *testing.T) {
	w := newGroup(t)
	cfg := w.config()
	cfg.Interval, cfg.Now = time.Millisecond, time.Now
	monitor := newMonitor(t, cfg)
	if _, ok := monitor.Report(); ok {
		t.Error("a monitor that has not looked has a report")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { monitor.Run(ctx); close(ended) }()
	var first time.Time
	w.Until("it has looked a second time", func() bool {
		report, ok := monitor.Report()
		if ok && first.IsZero() {
			first = report.At
		}
		return ok && report.At.After(first)
	})
	cancel()
	<-ended
}

func TestCollectorShowsOnlyWhatIsKnownNow(t *testing.T) {
	w := newGroup(t)
	w.publish(0, 1500*time.Millisecond, 0)
	w.position(1, 0, 0)
	w.position(1, 1, 99) // above the end: unknown
	w.CommitOffsets("weights", events.TopicActions, 0)
	w.Exec("INSERT INTO versions (group_name, version, fold_version, state) VALUES ('weights', 2, 1, 'building')")
	w.position(2, 0, 0)
	monitor := newMonitor(t, w.config())
	registry := prometheus.NewRegistry()
	registry.MustRegister(monitor)
	if got := gather(t, registry); len(got) != 0 {
		t.Errorf("before the first look: %v", got)
	}
	_, err := monitor.Look(t.Context())
	w.Must(err)
	want := map[string]float64{
		"applylens_consumer_lag_records 0":          2,
		"applylens_consumer_lag_blocked_records 0":  0,
		"applylens_consumer_lag_seconds 0":          1.5,
		"applylens_consumer_lag_lost_records 0":     0,
		"applylens_consumer_lag_lost_records 1":     0,
		"applylens_consumer_mirror_drift_records 0": 0,
		"applylens_consumer_lag_unknown_partitions": 1,
		"applylens_consumer_status 0 STOPPED":       1,
		"applylens_consumer_status 1 UNKNOWN":       1,
	}
	if diff := cmp.Diff(want, gather(t, registry)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	w.Advance(time.Hour)
	if got := gather(t, registry); len(got) != 0 {
		t.Errorf("an hour after the last look: %v", got)
	}
}

// gather lists the metrics by name, partition and status, without the statuses that are not.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	world.Must(t, err)
	found := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			labels := labelsOf(metric)
			name := strings.TrimSpace(family.GetName() + " " + labels["partition"] + " " + labels["status"])
			if labels["status"] == "" || metric.GetGauge().GetValue() != 0 {
				found[name] = metric.GetGauge().GetValue()
			}
			if labels["group"] != "weights" {
				t.Errorf("%s has group %q", name, labels["group"])
			}
		}
	}
	return found
}

func labelsOf(metric *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, pair := range metric.Label {
		labels[pair.GetName()] = pair.GetValue()
	}
	return labels
}

func TestTableIsPlainText(t *testing.T) {
	w := newGroup(t)
	w.publish(0, 1500*time.Millisecond, 0)
	w.position(1, 0, 0)
	w.position(1, 1, 99)
	w.Client(kgo.ClientID("evil\x1b[2J"), kgo.ConsumerGroup(w.Conn.GroupID("weights")), kgo.ConsumeTopics(w.Conn.Topic("applylens.actions")))
	w.Until("there is a member", func() bool { return w.read().Partitions[0].Member != "" })
	report, err := lag.Read(t.Context(), w.config())
	w.Must(err)
	var text bytes.Buffer
	w.Must(report.WriteTable(&text))
	if strings.ContainsFunc(strings.ReplaceAll(text.String(), "\n", ""), unicode.IsControl) {
		t.Errorf("control characters in\n%q", text.String())
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	for i, want := range [][]string{
		{"GROUP", "PARTITION", "STATUS", "LAG", "BLOCKED", "SECONDS", "LOST"},
		{"weights", "v1", "applylens.actions/0", "LAGGING", "2", "0", "1.500", "0", "0", "2"},
		{"weights", "v1", "applylens.actions/1", "UNKNOWN", "unknown", "unknown", "unknown", "0", "99", "0"},
		{"weights", "v1", "total", "UNKNOWN", "2", "+", "1", "unknown", "0", "+", "1", "unknown", "1.500", "+", "1", "unknown", "0"},
		{"weights", "v1", "[1]:", "UNKNOWN:", "the", "position", "99"},
	} {
		if got := strings.Fields(lines[i]); len(got) < len(want) || !cmp.Equal(got[:len(want)], want) {
			t.Errorf("line %d is %q, want %q first", i, got, want)
		}
	}
}
