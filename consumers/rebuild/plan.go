package rebuild

import (
	"context"
	"time"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/kafkalog"
)

// Plan is what a rebuild would read.
type Plan struct {
	Group       string      `json:"group"`
	LiveVersion int         `json:"live_version"`
	Version     int         `json:"version"` // the one being built; 0: a new one would be made
	Ranges      []PlanRange `json:"ranges"`
	Records     int64       `json:"records"` // offsets to read; compacted and control records count too
	Missing     int64       `json:"missing"` // offsets that the log no longer holds
	Estimate    string      `json:"estimate"`
	// Unknown are the partitions of which Kafka does not tell where they begin and end, such as those without a leader. They are
	// in no other field.
	Unknown []int `json:"unknown,omitempty"`
}

// PlanRange is what is to be read of one partition: the offsets from From to below To. The log begins at Start.
type PlanRange struct {
	Partition int   `json:"partition"`
	Start     int64 `json:"start"`
	From      int64 `json:"from"`
	To        int64 `json:"to"`
}

// planRate is the rate at which a plan estimates, in records per second: what DESIGN asks of a rebuild at least.
const planRate = 250_000

// MakePlan tells what Run would do now, without doing it.
func MakePlan(ctx context.Context, cfg *consumers.Config) (*Plan, error) {
	live, _, err := ledger.LiveVersion(ctx, cfg.Pool, cfg.Group.Name)
	if err != nil {
		return nil, err
	}
	building, found, err := ledger.Building(ctx, cfg.Pool, cfg.Group.Name)
	if err != nil {
		return nil, err
	}
	plan := &Plan{Group: cfg.Group.Name, LiveVersion: live}
	positions := map[int]int64{}
	if found {
		plan.Version = building.Version
		if positions, err = ledger.NextOffsets(ctx, cfg.Pool, cfg.Group.Name, building.Version); err != nil {
			return nil, err
		}
	}
	name := cfg.Broker.Topic(cfg.Group.Topic)
	topic, err := cfg.Broker.DescribeTopic(ctx, name)
	if err != nil {
		return nil, err
	}
	starts, ends, err := kafkalog.Ends(ctx, cfg.Broker, name)
	if err := kafkalog.UnlessPartial(err); err != nil && len(ends) == 0 {
		return nil, err
	}
	for p := range topic.Partitions {
		start, begins := starts[p]
		end, ok := ends[p]
		if !begins || !ok {
			plan.Unknown = append(plan.Unknown, p)
			continue
		}
		from := max(start, positions[p])
		plan.Ranges = append(plan.Ranges, PlanRange{Partition: p, Start: start, From: from, To: end})
		plan.Records += end - from
		plan.Missing += start - min(start, positions[p])
	}
	plan.Estimate = (time.Duration(plan.Records) * time.Second / planRate).Round(time.Second).String()
	return plan, nil
}
