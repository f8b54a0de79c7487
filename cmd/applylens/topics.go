package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/retry"
)

type topicsCommand struct {
	Kafka             config.Kafka `embed:"" group:"Connections:"`
	Partitions        int          `help:"Partitions of a new topic. Adding partitions later breaks the order of users' events." default:"6" env:"TOPIC_PARTITIONS"`
	ReplicationFactor int          `help:"Replicas of each partition; 0: the broker's default. Production needs 3." default:"0" env:"TOPIC_REPLICATION_FACTOR"`
	MinInsyncReplicas int          `help:"In-sync replicas required for a write; 0: the broker's default. Production needs 2." default:"0" env:"TOPIC_MIN_INSYNC_REPLICAS"`
	output
}

// topicReport describes a topic and its problems.
type topicReport struct {
	Topic             string   `json:"topic"`
	Partitions        int      `json:"partitions"`
	ReplicationFactor int      `json:"replication_factor"`
	MinInsyncReplicas string   `json:"min_insync_replicas"`
	Retention         string   `json:"retention"`
	Warnings          []string `json:"warnings"`
}

// Run creates missing topics, leaves existing ones as they are, and describes all.
func (c *topicsCommand) Run(ctx context.Context, p *process) error {
	if err := c.validate(); err != nil {
		return usageError{err}
	}
	conn, err := broker.Open(c.Kafka)
	if err != nil {
		return usageError{err}
	}
	defer conn.Close()
	layout := broker.Layout{Partitions: c.Partitions, ReplicationFactor: c.ReplicationFactor, MinInsyncReplicas: c.MinInsyncReplicas}
	if err := conn.EnsureTopics(ctx, layout); err != nil {
		return err
	}
	reports, err := c.reports(ctx, conn)
	if err != nil {
		return err
	}
	rows := make([][]string, len(reports))
	for i, r := range reports {
		rows[i] = []string{r.Topic, strconv.Itoa(r.Partitions), strconv.Itoa(r.ReplicationFactor), r.MinInsyncReplicas, r.Retention}
		for _, warning := range r.Warnings {
			p.log.Warn("topic needs attention", "topic", r.Topic, "warning", warning)
		}
	}
	return c.print(p.stdout, reports, []string{"TOPIC", "PARTITIONS", "REPLICAS", "MIN IN SYNC", "RETENTION"}, rows)
}

func (c *topicsCommand) validate() error {
	if err := c.Kafka.Validate(); err != nil {
		return err
	}
	switch {
	case c.Partitions < 1 || c.Partitions > 1000:
		return fmt.Errorf("--partitions: %d is not within 1..1000", c.Partitions)
	case c.ReplicationFactor < 0 || c.ReplicationFactor > 100:
		return fmt.Errorf("--replication-factor: %d is not within 0..100", c.ReplicationFactor)
	case c.MinInsyncReplicas < 0 || c.MinInsyncReplicas > max(c.ReplicationFactor, 1) && c.ReplicationFactor > 0:
		return fmt.Errorf("--min-insync-replicas: %d is not within 0 and the replication factor", c.MinInsyncReplicas)
	}
	return nil
}

func (c *topicsCommand) reports(ctx context.Context, conn *broker.Conn) ([]topicReport, error) {
	names := make([]string, len(events.Topics))
	for i, topic := range events.Topics {
		names[i] = conn.Topic(topic)
	}
	details, err := settled(ctx, conn.Admin, names)
	if err != nil {
		return nil, err
	}
	configs, err := conn.Admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("read the topics' settings: %w", err)
	}
	reports := make([]topicReport, len(names))
	for i, name := range names {
		config, err := configs.On(name, nil)
		if err == nil {
			err = config.Err
		}
		if err != nil {
			return nil, fmt.Errorf("read settings of topic %s: %w", name, err)
		}
		reports[i] = c.report(details[name], settingsOf(config))
	}
	return reports, nil
}

// How long the topics are listed until all brokers know them, and how often at most.
const (
	topicsPatience = 15 * time.Second
	topicsEvery    = 300 * time.Millisecond
)

// settled lists the topics. It waits until every broker knows those just created.
func settled(ctx context.Context, admin *kadm.Client, names []string) (kadm.TopicDetails, error) {
	var details kadm.TopicDetails
	err := retry.Within(ctx, topicsPatience, topicsEvery, topicsEvery, func(int) (err error) {
		details, err = admin.ListTopics(ctx, names...)
		switch {
		case err != nil:
			return err
		case details.Error() == nil && len(details) != len(names):
			return fmt.Errorf("the broker knows %d of %d", len(details), len(names))
		}
		return details.Error()
	})
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	return details, nil
}

func settingsOf(config kadm.ResourceConfig) map[string]string {
	settings := map[string]string{}
	for _, entry := range config.Configs {
		settings[entry.Key] = entry.MaybeValue()
	}
	return settings
}

// report describes a topic and warns of unsuitable settings: it may not have been created by this command.
func (c *topicsCommand) report(detail kadm.TopicDetail, settings map[string]string) topicReport {
	r := topicReport{
		Topic: detail.Topic, Partitions: len(detail.Partitions), ReplicationFactor: detail.Partitions.NumReplicas(),
		MinInsyncReplicas: settings["min.insync.replicas"], Retention: "unlimited", Warnings: []string{},
	}
	if ms, err := strconv.ParseInt(settings["retention.ms"], 10, 64); err == nil && ms >= 0 {
		r.Retention = (time.Duration(ms) * time.Millisecond).String()
		r.Warnings = append(r.Warnings, "retention.ms is finite: projections cannot be rebuilt from deleted events")
	}
	if size := settings["retention.bytes"]; size != "-1" && size != "" {
		r.Retention += ", " + size + " bytes"
		r.Warnings = append(r.Warnings, "retention.bytes is finite: projections cannot be rebuilt from deleted events")
	}
	if policy := settings["cleanup.policy"]; policy != "delete" && policy != "" {
		r.Warnings = append(r.Warnings, "cleanup.policy is "+policy+": compaction removes events that projections need")
	}
	if r.Partitions != c.Partitions {
		r.Warnings = append(r.Warnings, fmt.Sprintf("it has %d partitions, not %d; none are added, since that would break the order of users' events", r.Partitions, c.Partitions))
	}
	return r
}
