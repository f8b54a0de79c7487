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
	group.Go(func() {
		s.add(s.find(ctx, "LIBFAKETIME", server.FindFaketime), "wrong clocks of PostgreSQL in the crash tests")
	})
	group.Go(func() { s.add(s.find(ctx, "CONFLUENT_KAFKA", server.FindConfluentKafka), "the examples in Python") })
	group.Go(func() { s.add(s.find(ctx, "KAFKAJS", server.FindKafkaJS), "the examples in JavaScript") })
	group.Go(func() { s.add(s.find(ctx, "JDK_BIN", server.FindJDK), "the examples in Java") })
	group.Go(func() { s.add(s.find(ctx, "CHROMIUM", server.FindChromium), "the web page in a browser") })
	group.Go(func() { s.add(s.find(ctx, "DOVECOT_HOME", findDovecot), "mail accounts on a real server") })
	group.Go(func() { s.add(s.find(ctx, "AXE", server.FindAxe), "whether everybody can use the web page") })
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

// provide finds a server's programs, unless the variable programs names them, and starts a server of them, unless the
// variable address names one. It sets the variables to what it found and started.
func (s *servers) provide(ctx context.Context, programs, address string, find func(context.Context) (string, error),
	start func(programs string) (address string, stop func() error, err error)) error {
	where, given := os.LookupEnv(programs)
	if !given {
		found, err := find(ctx)
		if err != nil {
			return err
		}
		where = found
		s.set(programs, where)
	}
	if os.Getenv(address) != "" {
		return nil
	}
	started, stop, err := start(where)
	if err != nil {
		return err
	}
	s.set(address, started)
	s.closeWith(stop)
	return nil
}

func (s *servers) postgres(ctx context.Context, durable bool) error {
	return s.provide(ctx, "PG_BIN", "DATABASE_URL", findPostgres, func(bin string) (string, func() error, error) {
		config := server.PostgresConfig{BinDir: bin}
		if durable {
			config.Settings = map[string]string{"fsync": "on", "full_page_writes": "on"}
		}
		started, err := server.NewPostgres(ctx, config)
		if err != nil {
			return "", nil, err
		}
		return started.URL(), started.Close, nil
	})
}

func (s *servers) kafka(ctx context.Context) error {
	return s.provide(ctx, "KAFKA_CLASSPATH", "KAFKA_BROKERS", server.FindKafka, func(jars string) (string, func() error, error) {
		started, err := server.NewKafka(ctx, server.KafkaConfig{ClassPath: jars})
		if err != nil {
			return "", nil, err
		}
		return started.Addr(), started.Close, nil
	})
}

func (s *servers) elasticsearch(ctx context.Context) error {
	return s.provide(ctx, "ELASTICSEARCH_HOME", "ELASTICSEARCH_URL", server.FindElasticsearch, func(home string) (string, func() error, error) {
		started, err := server.NewElasticsearch(ctx, server.ElasticsearchConfig{Home: home})
		if err != nil {
			return "", nil, err
		}
		return started.URL(), started.Close, nil
	})
}

// find sets a variable to what is found, unless it is set.
func (s *servers) find(ctx context.Context, variable string, find func(context.Context) (string, error)) error {
	if _, given := os.LookupEnv(variable); given {
		return nil
	}
	path, err := find(ctx)
	if err == nil {
		s.set(variable, path)
	}
	return err
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

// findDovecot returns the directory above that of Dovecot's program.
func findDovecot(ctx context.Context) (string, error) {
	program, err := server.FindDovecot(ctx)
	return filepath.Dir(filepath.Dir(program)), err
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
