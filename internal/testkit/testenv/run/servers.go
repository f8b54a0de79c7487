package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/applylens/applylens/internal/embedded"
	"github.com/applylens/applylens/internal/testkit/testenv/server"
)

// servers has the started servers and their environment variables.
type servers struct {
	mu          sync.Mutex
	environment []string
	closers     []func() error
	missing     []error
}

// startServers starts the servers that the environment does not name, concurrently, since each takes seconds.
func startServers(ctx context.Context, withElasticsearch, durable bool) (*servers, error) {
	began := time.Now()
	s := &servers{}
	var group sync.WaitGroup
	group.Go(func() { s.add(s.postgres(ctx, durable), "tests that need PostgreSQL") })
	group.Go(func() { s.add(s.kafka(ctx), "tests that need a real Kafka broker") })
	if withElasticsearch {
		group.Go(func() { s.add(s.elasticsearch(ctx), "tests that need Elasticsearch") })
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return s, err
	}
	for _, err := range s.missing {
		fmt.Fprintln(os.Stderr, "testenv:", err)
	}
	if len(s.missing) > 0 && os.Getenv("CI") == "true" {
		return s, errors.New("CI=true allows no test to be skipped")
	}
	fmt.Fprintf(os.Stderr, "testenv: %s (%.1f s)\n", s.summary(), time.Since(began).Seconds())
	return s, nil
}

func (s *servers) add(err error, leftOut string) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing = append(s.missing, fmt.Errorf("skipped: %s: %w", leftOut, err))
}

func (s *servers) summary() string {
	if len(s.environment) == 0 {
		return "no server started"
	}
	return strings.Join(s.environment, " ")
}

// postgres sets PG_BIN for tests that run a server of their own, and starts a server unless DATABASE_URL is set.
func (s *servers) postgres(ctx context.Context, durable bool) error {
	bin, given := os.LookupEnv("PG_BIN")
	if !given {
		found, err := findPostgres(ctx)
		if err != nil {
			return err
		}
		bin = found
		s.set("PG_BIN", bin)
	}
	if os.Getenv("DATABASE_URL") != "" {
		return nil
	}
	config := server.PostgresConfig{BinDir: bin}
	if durable {
		config.Settings = map[string]string{"fsync": "on", "full_page_writes": "on"}
	}
	started, err := server.NewPostgres(ctx, config)
	if err != nil {
		return err
	}
	s.set("DATABASE_URL", started.URL())
	s.closeWith(started.Close)
	return nil
}

// findPostgres returns an installed PostgreSQL, or else the one that "applylens up" downloads.
func findPostgres(ctx context.Context) (string, error) {
	bin, err := server.FindPostgres(ctx)
	if err == nil {
		return bin, nil
	}
	fetched, fetchErr := fetchPostgres(ctx)
	if fetchErr != nil {
		return "", errors.Join(err, fetchErr)
	}
	return fetched, nil
}

func fetchPostgres(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "applylens-fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	servers, err := embedded.Start(ctx, filepath.Join(dir, "data"), log)
	if err != nil {
		return "", err
	}
	return servers.PostgresBin, servers.Stop(ctx)
}

// kafka does the same for KAFKA_CLASSPATH and KAFKA_BROKERS.
func (s *servers) kafka(ctx context.Context) error {
	jars, given := os.LookupEnv("KAFKA_CLASSPATH")
	if !given {
		found, err := server.FindKafka(ctx)
		if err != nil {
			return err
		}
		jars = found
		s.set("KAFKA_CLASSPATH", jars)
	}
	if os.Getenv("KAFKA_BROKERS") != "" {
		return nil
	}
	started, err := server.NewKafka(ctx, server.KafkaConfig{ClassPath: jars})
	if err != nil {
		return err
	}
	s.set("KAFKA_BROKERS", started.Addr())
	s.closeWith(started.Close)
	return nil
}

// elasticsearch does the same for ELASTICSEARCH_HOME and ELASTICSEARCH_URL.
func (s *servers) elasticsearch(ctx context.Context) error {
	home, given := os.LookupEnv("ELASTICSEARCH_HOME")
	if !given {
		found, err := server.FindElasticsearch(ctx)
		if err != nil {
			return err
		}
		home = found
		s.set("ELASTICSEARCH_HOME", home)
	}
	if os.Getenv("ELASTICSEARCH_URL") != "" {
		return nil
	}
	started, err := server.NewElasticsearch(ctx, server.ElasticsearchConfig{Home: home})
	if err != nil {
		return err
	}
	s.set("ELASTICSEARCH_URL", started.URL())
	s.closeWith(started.Close)
	return nil
}

func (s *servers) set(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.environment = append(s.environment, name+"="+value)
}

func (s *servers) closeWith(closer func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, closer)
}

func (s *servers) close() {
	for _, closer := range s.closers {
		if err := closer(); err != nil {
			fmt.Fprintln(os.Stderr, "testenv: stop:", err)
		}
	}
}
