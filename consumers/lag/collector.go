package lag

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	recordsDesc = prometheus.NewDesc("applylens_consumer_lag_records",
		"Records that can be read and were not; absent when unknown.", []string{"group", "topic", "partition"}, nil)
	blockedDesc = prometheus.NewDesc("applylens_consumer_lag_blocked_records",
		"Records behind an open transaction, which cannot be read yet; absent when unknown.", []string{"group", "topic", "partition"}, nil)
	secondsDesc = prometheus.NewDesc("applylens_consumer_lag_seconds",
		"Age of the record at the position, readable or not, 0 when there is none; absent when unknown.", []string{"group", "topic", "partition"}, nil)
	lostDesc = prometheus.NewDesc("applylens_consumer_lag_lost_records",
		"Records between the position and the log's start, deleted unread; absent when unknown.", []string{"group", "topic", "partition"}, nil)
	driftDesc = prometheus.NewDesc("applylens_consumer_mirror_drift_records",
		"Position minus the offset mirrored in Kafka; below 0 somebody else wrote it; absent when unknown.", []string{"group", "topic", "partition"}, nil)
	statusDesc = prometheus.NewDesc("applylens_consumer_status",
		"1 for the status that the partition has, 0 for the others.", []string{"group", "topic", "partition", "status"}, nil)
	unknownDesc = prometheus.NewDesc("applylens_consumer_lag_unknown_partitions",
		"Partitions whose lag in records is not known; absent when even their number is not.", []string{"group"}, nil)
)

// Describe implements prometheus.Collector.
func (m *Monitor) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{recordsDesc, blockedDesc, secondsDesc, lostDesc, driftDesc, statusDesc, unknownDesc} {
		to <- desc
	}
}

// Collect implements prometheus.Collector. It shows the live versions at the latest look, and nothing when that is
// too long ago: an old number must not pass for the present one.
func (m *Monitor) Collect(to chan<- prometheus.Metric) {
	report, ok := m.Report()
	if !ok {
		return
	}
	for i := range report.Groups {
		if g := &report.Groups[i]; !g.Building {
			g.collect(to)
		}
	}
}

func (g *Group) collect(to chan<- prometheus.Metric) {
	if len(g.Partitions) > 0 {
		gauge(to, unknownDesc, float64(g.Totals.LagRecordsUnknown), g.Name)
	}
	for i := range g.Partitions {
		p := &g.Partitions[i]
		labels := []string{g.Name, g.Topic, strconv.Itoa(p.Partition)}
		count(to, recordsDesc, p.LagRecords, labels)
		count(to, blockedDesc, p.BlockedRecords, labels)
		count(to, lostDesc, p.LostRecords, labels)
		count(to, driftDesc, p.MirrorDrift, labels)
		if p.LagSeconds != nil {
			gauge(to, secondsDesc, *p.LagSeconds, labels...)
		}
		for _, status := range Statuses {
			value := 0.0
			if status == p.Status {
				value = 1
			}
			gauge(to, statusDesc, value, append(labels[:len(labels):len(labels)], string(status))...)
		}
	}
}

func count(to chan<- prometheus.Metric, desc *prometheus.Desc, value *int64, labels []string) {
	if value != nil {
		gauge(to, desc, float64(*value), labels...)
	}
}

func gauge(to chan<- prometheus.Metric, desc *prometheus.Desc, value float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}
