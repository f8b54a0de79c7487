package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"

	"github.com/applylens/applylens/events"
)

// naiveTableSQL makes the table that the naive consumer writes.
const naiveTableSQL = `
CREATE TABLE naive_weights (user_id text, feature text, weight double precision NOT NULL, PRIMARY KEY (user_id, feature))`

// naiveUpsertSQL adds one decision to the weight of one feature.
const naiveUpsertSQL = `
INSERT INTO naive_weights AS t (user_id, feature, weight) VALUES ($1, $2, $3)
ON CONFLICT (user_id, feature) DO UPDATE SET weight = t.weight + excluded.weight`

// naiveEvents is the most events that the naive consumer reads, since it is slow; at most a tenth of the log.
const naiveEvents = 20_000

// measureNaive measures a simple consumer for comparison: kafka-go's Reader, a transaction for each event, an upsert for
// each feature, an offset commit for each message. After a crash it counts events twice.
func (s *stage) measureNaive(ctx context.Context, report *Report) error {
	if _, err := s.pool.Exec(ctx, naiveTableSQL); err != nil {
		return fmt.Errorf("make naive table: %w", err)
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: s.kafka.KafkaBrokers, Dialer: s.broker.Dialer, GroupID: s.broker.GroupID(Naive),
		Topic: s.broker.Topic(events.TopicActions), StartOffset: kafka.FirstOffset,
	})
	defer reader.Close()
	rate := &Rate{What: "naive consumer of weights, own events", Processes: 1, naive: true}
	count := min(naiveEvents, max(s.cfg.Events/10, 1))
	var began time.Time
	for i := range count {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return fmt.Errorf("naive consumer: %w", err)
		}
		if i == 0 {
			began = time.Now()
		}
		if err := s.learnNaively(ctx, message.Headers, message.Value); err != nil {
			return fmt.Errorf("naive consumer: %w", err)
		}
		if err := reader.CommitMessages(ctx, message); err != nil {
			return fmt.Errorf("naive consumer: %w", err)
		}
	}
	s.finish(rate, sample(int64(count), time.Since(began), nil))
	report.add(rate)
	return nil
}

// naiveSteps maps the type of a decision to the change of the weight.
var naiveSteps = map[string]float64{
	events.TypeActionApproved.String(): 0.2,
	events.TypeActionRejected.String(): -0.2,
}

func (s *stage) learnNaively(ctx context.Context, headers []kafka.Header, value []byte) error {
	step := 0.0
	for _, header := range headers {
		if header.Key == events.HeaderType {
			step = naiveSteps[string(header.Value)]
		}
	}
	if step == 0 {
		return nil
	}
	var decision struct {
		UserID   string   `json:"user_id"`
		Features []string `json:"features"`
	}
	if err := json.Unmarshal(value, &decision); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		for _, feature := range decision.Features {
			if _, err := tx.Exec(ctx, naiveUpsertSQL, decision.UserID, feature, step); err != nil {
				return err
			}
		}
		return nil
	})
}
