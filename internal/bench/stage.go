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
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/search/indexer"
	"github.com/applylens/applylens/internal/testkit/load"
)

// serverSQL reads the version and the settings that matter for speed.
const serverSQL = `
SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'), current_setting('shared_buffers')`

// partitions is the number of partitions of every topic.
const partitions = 6

// cleaningTime is how long deleting a stage may take.
const cleaningTime = time.Minute

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

// close deletes the index, the database, topics and groups, also when ctx has ended.
func (s *stage) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaningTime)
	defer cancel()
	var err error
	if s.index != nil && !s.cfg.Keep {
		err = indexer.Forget(ctx, s.pool, s.index)
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.broker != nil {
		defer s.broker.Close()
	}
	if s.cfg.Keep {
		s.cfg.Log.Info("kept", "database", s.name, "topic_prefix", s.kafka.TopicPrefix)
		return nil
	}
	err = errors.Join(err, s.onServer(ctx, "DROP DATABASE IF EXISTS "+s.name+" WITH (FORCE)"))
	if s.broker != nil {
		err = errors.Join(err, s.deleteGroups(ctx), s.deleteTopics(ctx))
	}
	if err != nil {
		return fmt.Errorf("delete database %s and topics %s*: %w", s.name, s.kafka.TopicPrefix, err)
	}
	return nil
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
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		busy := false
		deleted, err := s.broker.Admin.DeleteGroups(ctx, s.broker.GroupID("weights"), s.broker.GroupID("policystats"), s.broker.GroupID(Naive),
			s.broker.GroupID("mailbox"), s.broker.GroupID("enrichment"))
		for _, group := range deleted {
			busy = busy || errors.Is(group.Err, kerr.NonEmptyGroup)
			if group.Err != nil && !errors.Is(group.Err, kerr.GroupIDNotFound) && !errors.Is(group.Err, kerr.NonEmptyGroup) {
				err = errors.Join(err, group.Err)
			}
		}
		if !busy || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
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
