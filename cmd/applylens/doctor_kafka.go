package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/kafkalog"
)

// tolerableSkew is how far clocks may differ without a warning.
const tolerableSkew = 2 * time.Second

// kafka checks that the brokers respond, and their settings.
func (c *checkup) kafka(ctx context.Context) bool {
	metadata, err := c.broker.Admin.BrokerMetadata(ctx)
	if err != nil {
		c.add(levelFail, "kafka", "check --kafka-brokers, and that the brokers' advertised addresses can be reached from here", "no response: %v", err)
		return false
	}
	c.ok("kafka", "%d brokers of cluster %s respond", len(metadata.Brokers), metadata.Cluster)
	if len(metadata.Brokers) == 0 {
		return true
	}
	configs, err := c.broker.Admin.DescribeBrokerConfigs(ctx, metadata.Brokers[0].NodeID)
	if err != nil || len(configs) != 1 {
		c.add(levelWarn, "kafka settings", "allow this user DescribeConfigs on the cluster", "the settings of the brokers cannot be read: %v", err)
		return true
	}
	if setting(configs[0], "auto.create.topics.enable") == "true" {
		c.add(levelWarn, "kafka settings", "set auto.create.topics.enable=false on the brokers",
			"topics are created automatically: a mistyped or deleted topic is created with another partition count and finite retention")
	} else {
		c.ok("kafka settings", "topics are not created automatically")
	}
	return true
}

// topics checks each topic's partitions and settings, and that no record is dated in the future.
func (c *checkup) topics(ctx context.Context) bool {
	names := make([]string, len(events.Topics))
	for i, topic := range events.Topics {
		names[i] = c.broker.Topic(topic)
	}
	metadata, err := c.broker.Admin.Metadata(ctx, names...)
	if err != nil {
		c.add(levelFail, "topics", "", "no response: %v", err)
		return false
	}
	configs, configsErr := c.broker.Admin.DescribeTopicConfigs(ctx, names...)
	latest, latestErr := c.broker.Admin.ListMaxTimestampOffsets(ctx, names...)
	now := time.Now()
	for _, name := range names {
		check := "topic " + name
		before := len(c.findings)
		detail, ok := metadata.Topics[name]
		if !ok || detail.Err != nil {
			c.add(levelFail, check, "create it with: applylens topics", "Kafka does not have it: %v", detail.Err)
			continue
		}
		settings, err := configs.On(name, nil)
		if configsErr != nil || err != nil || settings.Err != nil {
			c.add(levelWarn, check, "allow this user DescribeConfigs on the topic", "its settings cannot be read")
		} else {
			c.topicSettings(check, name, settings, replicas(detail))
			c.replicas(check, detail, settings)
		}
		if kafkalog.UnlessPartial(latestErr) == nil {
			c.recordTimes(check, latest[name], now)
		}
		if len(c.findings) == before {
			c.ok(check, "%d partitions, %d replicas, unlimited retention", len(detail.Partitions), replicas(detail))
		}
	}
	return true
}

// replicas is the least number of replicas of a partition.
func replicas(detail kadm.TopicDetail) int {
	least := 0
	for _, p := range detail.Partitions {
		if least == 0 || len(p.Replicas) < least {
			least = len(p.Replicas)
		}
	}
	return least
}

func (c *checkup) topicSettings(check, name string, settings kadm.ResourceConfig, copies int) {
	for _, limit := range []string{"retention.ms", "retention.bytes"} {
		if value := setting(settings, limit); value != "" && value != "-1" {
			c.add(levelWarn, check, fmt.Sprintf("kafka-configs --alter --topic %s --add-config %s=-1", name, limit),
				"%s is %s: Kafka deletes events, and a rebuild cannot read deleted ones", limit, value)
		}
	}
	if policy := setting(settings, "cleanup.policy"); policy != "" && policy != "delete" {
		c.add(levelFail, check, fmt.Sprintf("kafka-configs --alter --topic %s --add-config cleanup.policy=delete", name),
			"cleanup.policy is %s: only the last event of each user is kept", policy)
	}
	if size, err := strconv.Atoi(setting(settings, "max.message.bytes")); err == nil && size < 1<<20 {
		c.add(levelWarn, check, fmt.Sprintf("kafka-configs --alter --topic %s --add-config max.message.bytes=1048588", name),
			"max.message.bytes is %d: long mail is rejected", size)
	}
	least, _ := strconv.Atoi(setting(settings, "min.insync.replicas"))
	switch {
	case copies == 1:
		c.add(levelWarn, check, "except for trials, run three brokers with replication factor 3", "there is only one replica: if its broker is lost, so are the events")
	case least < 2:
		c.add(levelWarn, check, fmt.Sprintf("kafka-configs --alter --topic %s --add-config min.insync.replicas=2", name),
			"min.insync.replicas is %d: events that only one broker has acknowledged can be lost with it", least)
	}
}

// replicas checks that every partition is readable and writable now.
func (c *checkup) replicas(check string, detail kadm.TopicDetail, settings kadm.ResourceConfig) {
	least, _ := strconv.Atoi(setting(settings, "min.insync.replicas"))
	for _, p := range detail.Partitions.Sorted() {
		switch {
		case p.Leader < 0:
			c.add(levelFail, check, "start the brokers of its replicas", "partition %d has no leader", p.Partition)
		case len(p.ISR) < least:
			c.add(levelFail, check, "start the brokers of its replicas", "partition %d rejects writes: %d of its replicas are in sync, %d are required", p.Partition, len(p.ISR), least)
		case len(p.ISR) < len(p.Replicas):
			c.add(levelWarn, check, "check the brokers that are behind", "partition %d: %d of %d replicas are in sync", p.Partition, len(p.ISR), len(p.Replicas))
		}
	}
}

// recordTimes compares the latest record of each partition with this machine's clock.
func (c *checkup) recordTimes(check string, latest map[int32]kadm.ListedOffset, now time.Time) {
	var ahead time.Duration
	for _, record := range latest {
		if record.Err == nil && record.Timestamp > 0 {
			ahead = max(ahead, time.UnixMilli(record.Timestamp).Sub(now))
		}
	}
	if ahead > tolerableSkew {
		c.add(levelWarn, check, "synchronise the clocks of this machine and of the producers with NTP", "its latest record is dated %s in the future", ahead.Round(time.Millisecond))
	}
}

func setting(config kadm.ResourceConfig, name string) string {
	for _, entry := range config.Configs {
		if entry.Key == name {
			return entry.MaybeValue()
		}
	}
	return ""
}
