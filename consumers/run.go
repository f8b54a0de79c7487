package consumers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/retry"
)

// Run folds the group's topic into its live version, as a member of the Kafka group, until ctx ends. It waits for
// Kafka and PostgreSQL as long as they are away and returns an error only for wrong settings.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg.process = ctx
	retry.Always(ctx, firstPause, mostPause, func(attempt int) {
		if err := runMember(ctx, &cfg); ctx.Err() == nil {
			cfg.Log.Warn("the group has to wait", "group", cfg.Group.Name, "attempt", attempt+1, "error", err)
		}
	})
	return nil
}

// runMember joins the group and folds generation after generation until something outside fails.
func runMember(ctx context.Context, cfg *Config) error {
	if _, err := foldableVersion(ctx, cfg); err != nil {
		return err
	}
	if _, err := cfg.Broker.DescribeTopic(ctx, cfg.Broker.Topic(cfg.Group.Topic)); err != nil {
		return err
	}
	source, err := outbox.Source(ctx, cfg.Pool)
	if err != nil {
		return err
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                     cfg.Broker.GroupID(cfg.Group.Name),
		Brokers:                cfg.Broker.Brokers,
		Dialer:                 cfg.Broker.Dialer,
		Topics:                 []string{cfg.Broker.Topic(cfg.Group.Topic)},
		HeartbeatInterval:      min(cfg.SessionTimeout/5, time.Second),
		SessionTimeout:         cfg.SessionTimeout,
		RebalanceTimeout:       max(cfg.SessionTimeout, 2*cfg.BatchDeadline),
		JoinGroupBackoff:       500 * time.Millisecond,
		StartOffset:            kafka.FirstOffset,
		GroupBalancers:         []kafka.GroupBalancer{assignor{name: AssignorOf(source)}},
		WatchPartitionChanges:  true,
		PartitionWatchInterval: 5 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("prepare group: %w", err)
	}
	defer leave(ctx, group)
	for {
		generation, err := group.Next(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, kafka.ErrGroupClosed) {
				return nil
			}
			if errors.Is(err, kafka.InconsistentGroupProtocol) {
				return fmt.Errorf("join group %s: %w", cfg.Broker.GroupID(cfg.Group.Name), ErrStrangers)
			}
			cfg.Log.Warn("joining the group has to wait", "group", cfg.Group.Name, "error", err)
			continue // the group itself backs off and joins again
		}
		if err := runGeneration(ctx, cfg, generation); err != nil {
			return err
		}
	}
}

// leaveLimit is how long a process that ends waits for Kafka to let it leave a group. It is a small part of config.ShutdownTimeout.
const leaveLimit = 2 * time.Second

// leave leaves the group. A member that is about to join waits for all others, and for a broker that hangs, longer than a process may
// take to end: then it is left to itself, and Kafka removes it when its session is over.
func leave(ctx context.Context, group *kafka.ConsumerGroup) {
	if ctx.Err() == nil {
		_ = group.Close() // it returns no error; this process may join again only after it has left
		return
	}
	retry.AtMost(leaveLimit, func() { _ = group.Close() })
}

// runGeneration folds the partitions that a generation assigned. It returns when the generation has ended; an error
// means that the group is to be left until it passes.
func runGeneration(ctx context.Context, cfg *Config, generation *kafka.Generation) error {
	topic := cfg.Broker.Topic(cfg.Group.Topic)
	var partitions []int
	for _, assigned := range generation.Assignments[topic] {
		partitions = append(partitions, assigned.ID)
	}
	commit := commitOf(ctx, generation)
	ended := make(chan error, 1)
	generation.Start(func(generationCtx context.Context) {
		ctx, cancel := mergeContexts(ctx, generationCtx)
		defer cancel()
		if len(partitions) == 0 {
			<-ctx.Done()
			ended <- nil
			return
		}
		ended <- runSession(ctx, cfg, partitions, commit)
	})
	return <-ended
}

// errNotMirrored tells that Kafka did not answer a process that ends.
var errNotMirrored = errors.New("no answer from Kafka, and the process ends")

// commitOf commits offsets of a generation, and waits a short time only once ctx has ended.
func commitOf(ctx context.Context, generation *kafka.Generation) func(map[string]map[int]int64) error {
	return func(offsets map[string]map[int]int64) error {
		if ctx.Err() == nil {
			return generation.CommitOffsets(offsets)
		}
		answer := make(chan error, 1)
		if !retry.AtMost(leaveLimit, func() { answer <- generation.CommitOffsets(offsets) }) {
			return errNotMirrored
		}
		return <-answer
	}
}

// mergeContexts returns a context that ends with either; the first one's values are kept.
func mergeContexts(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() { stop(); cancel() }
}

// runSession folds one assignment of the live version, in session after session as long as the generation lasts, so
// that looking again at a halted partition does not make the other members join again. Losing the positions ends the
// generation and is no error.
func runSession(ctx context.Context, cfg *Config, partitions []int, commit func(map[string]map[int]int64) error) error {
	for ctx.Err() == nil {
		err := foldLive(ctx, cfg, partitions, commit)
		switch {
		case errors.Is(err, errReclaim):
		case errors.Is(err, ledger.ErrFenced):
			return nil
		default:
			return err
		}
	}
	return nil
}

// foldLive claims the partitions of the live version and folds them until ctx ends or they have to be claimed again.
func foldLive(ctx context.Context, cfg *Config, partitions []int, commit func(map[string]map[int]int64) error) error {
	version, err := foldableVersion(ctx, cfg)
	if err != nil {
		return err
	}
	s, err := openSession(ctx, cfg, Version{Number: version}, partitions, nil)
	if err != nil {
		return err
	}
	s.mirror = &mirror{commit: commit, topic: s.topic, log: cfg.Log}
	s.mirrorClaimed()
	mirrorCtx, stopMirror := context.WithCancel(ctx)
	var mirroring sync.WaitGroup
	mirroring.Go(func() { s.mirror.run(mirrorCtx) })
	defer mirroring.Wait() // what it has under way must not come behind the next claim
	defer stopMirror()
	cfg.Log.Info("positions claimed", "group", cfg.Group.Name, "version", version, "partitions", partitions)
	err = s.run(ctx)
	if errors.Is(err, ledger.ErrFenced) || errors.Is(err, errReclaim) {
		cfg.Log.Info("positions given up", "group", cfg.Group.Name, "version", version, "cause", err.Error())
	}
	return err
}

// foldableVersion returns the live version, or an error when this binary would fold it differently from the one that
// built it.
func foldableVersion(ctx context.Context, cfg *Config) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.BatchDeadline) // its partitions are kept meanwhile
	defer cancel()
	version, foldVersion, err := ledger.LiveVersionFor(ctx, cfg.Pool, cfg.Group.Name, cfg.Group.FoldVersion)
	if err != nil {
		return 0, err
	}
	if foldVersion != cfg.Group.FoldVersion {
		return 0, ledger.NewHalt(ledger.ReasonFoldVersion, ledger.At{Group: cfg.Group.Name, Partition: -1, Offset: -1},
			"%s version %d was folded by rule %d, this binary folds by rule %d", cfg.Group.Name, version, foldVersion, cfg.Group.FoldVersion)
	}
	return version, nil
}

// Fold folds partitions of a version that is not live up to exactly stopAt, or until ctx ends when stopAt is nil. Its error is
// ledger.ErrFenced when the partitions were claimed by another process, or the version is no longer being built by this rule.
func Fold(ctx context.Context, cfg Config, version int, partitions []int, stopAt map[int]int64) error {
	cfg.process = ctx
	s, err := openSession(ctx, &cfg, Version{Number: version, Shadow: true}, partitions, stopAt)
	if err == nil {
		err = s.run(ctx)
	}
	switch {
	case errors.Is(err, errReclaim): // a partition is halted
	case errors.Is(err, ledger.ErrFenced):
		return fmt.Errorf("fold version %d of %s: %w", version, cfg.Group.Name, err)
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if len(s.waiting) > 0 {
		return fmt.Errorf("version %d of %s: Kafka does not tell where the logs of partitions %v begin: they may have no leader", version, cfg.Group.Name, s.waiting)
	}
	for _, part := range s.parts {
		if at, halt := part.status.get(); halt != nil {
			return fmt.Errorf("version %d of %s, partition %d at %d: %w", version, cfg.Group.Name, part.id, at.Offset, halt)
		}
	}
	return err
}
