package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/search/indexer"
	"github.com/applylens/applylens/internal/testkit/load"
)

// serverSQL reads the version and the settings that matter for speed.
const serverSQL = `
SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'), current_setting('shared_buffers')`

// partitions is the number of partitions of every topic.
const partitions = 6

// cleaningTime is how long deleting each of the index, the database, the groups and the topics of a stage may take. A
// busy server drops a database only after a long checkpoint.
const cleaningTime = 2 * time.Minute

// stage is a deployment for measuring: a database and topics that are deleted afterwards.
type stage struct {
	cfg      *Config
	name     string
	kafka    config.Kafka
	postgres config.Postgres
	pool     *pgxpool.Pool
	broker   *broker.Conn

	stream   string                 // that was written; empty: none
	expected map[string]expectation // of it, by group
	folded   map[string]bool        // groups whose live version holds it

	elasticsearch config.Elasticsearch
	index         *elastic.Client // nil unless the index is measured
}

func openStage(ctx context.Context, cfg *Config) (*stage, error) {
	s := &stage{cfg: cfg, name: "bench_" + strings.ToLower(rand.Text()[:10]), kafka: cfg.Kafka, postgres: cfg.Postgres, folded: map[string]bool{}}
	s.kafka.TopicPrefix += s.name + "."
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

func (s *stage) open(ctx context.Context) error {
	err := s.onServer(ctx, "CREATE DATABASE "+s.name+" TEMPLATE template0")
	if err != nil {
		return fmt.Errorf("create a database: %w", err)
	}
	s.postgres.DatabaseURL = withDatabase(s.postgres.DatabaseURL, s.name)
	if s.pool, err = postgres.Open(ctx, s.postgres, "applylens bench"); err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, s.pool); err != nil {
		return err
	}
	if s.broker, err = broker.Open(s.kafka); err != nil {
		return err
	}
	return s.broker.EnsureTopics(ctx, broker.Layout{Partitions: partitions})
}

// onServer executes a statement outside of the database of the stage.
func (s *stage) onServer(ctx context.Context, statement string) error {
	admin, err := pgx.Connect(ctx, string(s.cfg.Postgres.DatabaseURL))
	if err != nil {
		return err
	}
	defer admin.Close(ctx)
	_, err = admin.Exec(ctx, statement)
	return err
}

// close deletes the index, the database, groups and topics, also when ctx has ended. One that cannot be deleted does
// not keep the others from it.
func (s *stage) close(ctx context.Context) error {
	var deletions []func(context.Context) error
	if s.index != nil {
		deletions = append(deletions, func(ctx context.Context) error { return indexer.Forget(ctx, s.pool, s.index) })
	}
	deletions = append(deletions, s.dropDatabase)
	if s.broker != nil {
		defer s.broker.Close()
		deletions = append(deletions, s.deleteGroups, s.deleteTopics)
	}
	if s.pool != nil {
		defer s.pool.Close()
	}
	if s.cfg.Keep {
		s.cfg.Log.Info("kept", "database", s.name, "topic_prefix", s.kafka.TopicPrefix)
		return nil
	}
	var err error
	for _, deletion := range deletions {
		err = errors.Join(err, within(ctx, cleaningTime, deletion))
	}
	if err != nil {
		return fmt.Errorf("delete database %s and topics %s*: %w", s.name, s.kafka.TopicPrefix, err)
	}
	return nil
}

// within calls do with a deadline of its own, also when ctx has ended.
func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return do(ctx)
}

func (s *stage) dropDatabase(ctx context.Context) error {
	if s.pool != nil {
		s.pool.Close() // calling it again is harmless
	}
	return s.onServer(ctx, "DROP DATABASE IF EXISTS "+s.name+" WITH (FORCE)")
}

func (s *stage) deleteTopics(ctx context.Context) error {
	var names []string
	for _, topic := range events.Topics {
		names = append(names, s.broker.Topic(topic))
	}
	deleted, err := s.broker.Admin.DeleteTopics(ctx, names...)
	for _, topic := range deleted {
		if topic.Err != nil && !errors.Is(topic.Err, kerr.UnknownTopicOrPartition) {
			err = errors.Join(err, topic.Err)
		}
	}
	return err
}

// deleteGroups deletes the consumer groups as soon as Kafka has noticed that their members are gone.
func (s *stage) deleteGroups(ctx context.Context) error {
	const every = 200 * time.Millisecond
	return retry.Until(ctx, every, every, func(int) error {
		busy := false
		deleted, err := s.broker.Admin.DeleteGroups(ctx, s.broker.GroupID("weights"), s.broker.GroupID("policystats"), s.broker.GroupID(Naive),
			s.broker.GroupID("mailbox"), s.broker.GroupID("enrichment"))
		for _, group := range deleted {
			busy = busy || errors.Is(group.Err, kerr.NonEmptyGroup)
			if group.Err != nil && !errors.Is(group.Err, kerr.GroupIDNotFound) && !errors.Is(group.Err, kerr.NonEmptyGroup) {
				err = errors.Join(err, group.Err)
			}
		}
		if busy && err == nil {
			return kerr.NonEmptyGroup
		}
		return retry.Stop(err)
	})
}

// withDatabase replaces the database in a connection string, a URL or keywords and values.
func withDatabase(connection config.Secret, name string) config.Secret {
	address, err := url.Parse(string(connection))
	if err != nil || address.Scheme == "" {
		return connection + config.Secret(" dbname="+name)
	}
	address.Path = "/" + name
	return config.Secret(address.String())
}

// newWriter returns a writer of own events.
func (s *stage) newWriter(ctx context.Context) (*load.Writer, error) {
	generator, err := s.newGenerator(ctx)
	if err != nil {
		return nil, err
	}
	return load.DialWriter(generator, s.broker.Topic(events.TopicActions), s.broker.Reader)
}

// machine describes the servers and this machine.
func (s *stage) machine(ctx context.Context) (*Machine, error) {
	m := &Machine{Cores: runtime.NumCPU(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	if err := s.pool.QueryRow(ctx, serverSQL).Scan(&m.PostgreSQL, &m.Fsync, &m.SynchronousCommit, &m.SharedBuffers); err != nil {
		return nil, fmt.Errorf("ask PostgreSQL for its settings: %w", err)
	}
	versions, err := s.broker.Admin.ApiVersions(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for its version: %w", err)
	}
	for _, broker := range versions.Sorted() {
		m.Kafka = broker.VersionGuess()
	}
	return m, nil
}
