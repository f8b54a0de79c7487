package testenv_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

func TestDatabaseIsMigratedAndOwn(t *testing.T) {
	ctx := t.Context()
	first, firstURL := testenv.Database(t)
	second, secondURL := testenv.Database(t)
	if firstURL == secondURL {
		t.Fatalf("two databases have one URL %s", firstURL)
	}
	pending, err := postgres.Pending(ctx, first)
	if err != nil || pending {
		t.Fatalf("Pending = %t, %v; want a migrated database", pending, err)
	}
	if _, err := first.Exec(ctx, "CREATE TABLE only_here (id int)"); err != nil {
		t.Fatal(err)
	}
	var seen bool
	if err := second.QueryRow(ctx, "SELECT to_regclass('only_here') IS NOT NULL").Scan(&seen); err != nil || seen {
		t.Fatalf("table of the first database seen in the second: %t, %v", seen, err)
	}
}

func TestDatabaseIsDropped(t *testing.T) {
	server := os.Getenv("DATABASE_URL")
	var name string
	t.Run("use", func(t *testing.T) {
		pool, _ := testenv.Database(t)
		name = pool.Config().ConnConfig.Database
	})
	if name == "" {
		t.Skip("set DATABASE_URL to a PostgreSQL superuser's URL to run this test")
	}
	admin, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	var exists bool
	err = admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err != nil || exists {
		t.Fatalf("database %s exists after its test: %t, %v", name, exists, err)
	}
}

func BenchmarkDatabase(b *testing.B) {
	for b.Loop() {
		testenv.Database(b)
	}
}

func TestKafkaIsSwept(t *testing.T) {
	var prefix string
	var admin *kadm.Client
	t.Run("use", func(t *testing.T) {
		settings := testenv.Kafka(t)
		prefix = settings.TopicPrefix
		admin = newAdmin(t, settings.KafkaBrokers...)
		if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, prefix+"topic"); err != nil {
			t.Fatal(err)
		}
		var offsets kadm.Offsets
		offsets.AddOffset(prefix+"topic", 0, 0, -1)
		if err := admin.CommitAllOffsets(t.Context(), prefix+"group", offsets); err != nil {
			t.Fatal(err)
		}
	})
	if prefix == "" {
		t.Skip("set KAFKA_BROKERS to the addresses of Kafka brokers to run this test")
	}
	admin = newAdmin(t, strings.Split(os.Getenv("KAFKA_BROKERS"), ",")...)
	topics, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	groups, err := admin.ListGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(topics.Names(), groups.Groups()...) {
		if strings.HasPrefix(name, prefix) {
			t.Errorf("%s is left", name)
		}
	}
}

func TestKfakeCreatesNoTopics(t *testing.T) {
	_, settings := testenv.Kfake(t)
	topics, err := newAdmin(t, settings.KafkaBrokers...).ListTopics(t.Context(), "nowhere")
	if err != nil {
		t.Fatal(err)
	}
	if topics.Has("nowhere") {
		t.Error("a request for a topic created it")
	}
}

func TestPostgresKeepsDataOverCrashes(t *testing.T) {
	server := testenv.StartPostgres(t, testenv.Setting("max_connections", "20"))
	pool, _ := testenv.NewDatabase(t, server.URL())
	if _, err := pool.Exec(t.Context(), "CREATE TABLE kept (id int)"); err != nil {
		t.Fatal(err)
	}
	insert := func(id int) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), "INSERT INTO kept VALUES ($1)", id); err != nil {
			t.Fatal(err)
		}
	}
	insert(1)
	server.Kill()
	if server.PID() != 0 {
		t.Error("a killed server has a process id")
	}
	server.Start()
	pool.Reset()
	insert(2)
	server.Restart(true)
	pool.Reset()
	insert(3)
	server.Restart(false)
	pool.Reset()
	var rows, connections int
	err := pool.QueryRow(t.Context(), "SELECT count(*), current_setting('max_connections')::int FROM kept").Scan(&rows, &connections)
	if err != nil || rows != 3 || connections != 20 {
		t.Fatalf("%d rows and %d connections (%v), want 3 and 20", rows, connections, err)
	}
}

// A server whose clock is wrong says so, and none of its sessions hangs when the timer's signal meets it while it looks at the
// clock.
func TestPostgresWithAWrongClock(t *testing.T) {
	if os.Getenv("LIBFAKETIME") == "" {
		t.Skip("set LIBFAKETIME to libfaketime's shared library (make test does) to run PostgreSQL with a wrong clock")
	}
	p := testenv.StartPostgres(t, testenv.Clock())
	const behind = 26 * time.Hour
	p.SetClock(behind)
	p.Restart(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sessions, ctx := errgroup.WithContext(ctx)
	for range 4 {
		sessions.Go(func() error {
			conn, err := pgx.Connect(ctx, p.URL())
			if err != nil {
				return err
			}
			defer conn.Close(context.Background())
			var now time.Time
			if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
				return err
			}
			if wrong := time.Since(now) - behind; wrong.Abs() > 10*time.Second {
				return fmt.Errorf("the clock is %s off", wrong)
			}
			if _, err := conn.Exec(ctx, "SET statement_timeout = 1"); err != nil {
				return err
			}
			for range 500 {
				_, err := conn.Exec(ctx, "SELECT count(clock_timestamp()) FROM generate_series(1, 1000000)")
				if failure := new(pgconn.PgError); !errors.As(err, &failure) || failure.Code != "57014" {
					return fmt.Errorf("a statement that is to time out ends with: %w", err)
				}
			}
			return nil
		})
	}
	if err := sessions.Wait(); err != nil {
		t.Error(err)
	}
}

func TestBrokerKeepsRecordsOverKill(t *testing.T) {
	broker := testenv.StartKafka(t, testenv.Property("log.segment.bytes", "1048576"))
	admin := newAdmin(t, broker.Addr())
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	configs, err := admin.DescribeBrokerConfigs(t.Context(), 1)
	if err != nil || len(configs) != 1 {
		t.Fatal(configs, err)
	}
	if got := value(configs[0], "log.segment.bytes"); got != "1048576" {
		t.Errorf("log.segment.bytes = %s, want 1048576", got)
	}
	produce(t, broker.Addr(), "kept")
	broker.Kill()
	broker.Start()
	produce(t, broker.Addr(), "kept")
	ends, err := newAdmin(t, broker.Addr()).ListEndOffsets(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := ends.Lookup("kept", 0); end.Offset != 2 {
		t.Errorf("end offset %d after a kill, want 2", end.Offset)
	}
}

func TestBrokerPausesAndAdvertises(t *testing.T) {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close() // only its address is needed, and nobody else may listen there
	broker := testenv.StartKafka(t, testenv.Advertised(proxy.Addr().String()))
	metadata, err := newAdmin(t, broker.Addr()).BrokerMetadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(proxy.Addr().String())
	if got := metadata.Brokers[0]; got.Host != "127.0.0.1" || port != strconv.Itoa(int(got.Port)) {
		t.Errorf("the advertised address is %s:%d, want the proxy's %s", got.Host, got.Port, proxy.Addr())
	}
	broker.Pause()
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := newAdmin(t, broker.Addr()).BrokerMetadata(short); err == nil {
		t.Error("a paused broker responded")
	}
	broker.Continue()
	if _, err := newAdmin(t, broker.Addr()).BrokerMetadata(t.Context()); err != nil {
		t.Errorf("a resumed broker does not respond: %v", err)
	}
}

func newAdmin(t *testing.T, brokers ...string) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RetryTimeout(time.Minute), kgo.RequestTimeoutOverhead(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

func produce(t *testing.T, broker, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RecordDeliveryTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("value")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func value(config kadm.ResourceConfig, name string) string {
	for _, entry := range config.Configs {
		if entry.Key == name {
			return entry.MaybeValue()
		}
	}
	return ""
}

func TestElasticsearchIsSwept(t *testing.T) {
	var address, prefix string
	t.Run("use", func(t *testing.T) {
		address, prefix = testenv.Elasticsearch(t)
		request(t, http.MethodPut, address+"/"+prefix+"mails")
	})
	if address == "" {
		t.Skip("set ELASTICSEARCH_URL to the address of an Elasticsearch node to run this test")
	}
	if left := request(t, http.MethodGet, address+"/_cat/indices/"+prefix+"*"); left != "" {
		t.Errorf("%s is left", left)
	}
}

func TestElasticsearchKeepsIndicesOverKill(t *testing.T) {
	node := testenv.StartElasticsearch(t)
	request(t, http.MethodPut, node.URL()+"/kept")
	node.Pause()
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	paused, err := http.NewRequestWithContext(short, http.MethodGet, node.URL()+"/_cat/indices", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.DefaultClient.Do(paused); err == nil {
		response.Body.Close()
		t.Error("a paused node responded")
	}
	node.Continue()
	node.Kill()
	node.Start()
	if got := request(t, http.MethodGet, node.URL()+"/_cat/indices?h=index"); got != "kept\n" {
		t.Errorf("indices after a kill: %q, want kept", got)
	}
}

func request(t *testing.T, method, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s %v", method, address, response.Status, text, err)
	}
	return string(text)
}
