package testenv

import (
	"context"
	"os"
	"testing"

	"github.com/applylens/applylens/internal/testkit/testenv/server"
)

// Postgres is a PostgreSQL server that a test may kill. What fails to happen to it ends the test.
type Postgres struct {
	t      testing.TB
	server *server.Postgres
}

// PostgresOption changes how StartPostgres runs a server.
type PostgresOption func(*server.PostgresConfig)

// Setting sets a setting of the server, such as fsync.
func Setting(name, value string) PostgresOption {
	return func(config *server.PostgresConfig) {
		if config.Settings == nil {
			config.Settings = map[string]string{}
		}
		config.Settings[name] = value
	}
}

// StartPostgres starts a PostgreSQL server of the test's own. It ends with the test. The test skips when PG_BIN is unset.
func StartPostgres(t testing.TB, options ...PostgresOption) *Postgres {
	t.Helper()
	bin := os.Getenv("PG_BIN")
	if bin == "" {
		t.Skip("set PG_BIN to the directory of PostgreSQL's initdb and postgres to run this test")
	}
	settings := server.PostgresConfig{BinDir: bin}
	for _, option := range options {
		option(&settings)
	}
	started, err := server.NewPostgres(context.Background(), settings)
	if err != nil {
		t.Fatal(err)
	}
	p := &Postgres{t: t, server: started}
	t.Cleanup(func() { p.must(started.Close()) })
	return p
}

// URL returns the superuser's URL of database postgres, the same over restarts.
func (p *Postgres) URL() string { return p.server.URL() }

// PID returns the postmaster's process id, 0 while it is down.
func (p *Postgres) PID() int { return p.server.PID() }

// Start starts the stopped or killed server and waits until it answers.
func (p *Postgres) Start() { p.t.Helper(); p.must(p.server.Start(context.Background())) }

// Stop ends the server: immediate as a crash does, otherwise with a checkpoint.
func (p *Postgres) Stop(immediate bool) { p.t.Helper(); p.must(p.server.Stop(immediate)) }

// Restart stops the server as Stop does and starts it again.
func (p *Postgres) Restart(immediate bool) {
	p.t.Helper()
	p.must(p.server.Restart(context.Background(), immediate))
}

// Kill kills the postmaster with SIGKILL.
func (p *Postgres) Kill() { p.t.Helper(); p.must(p.server.Kill()) }

func (p *Postgres) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// Broker is a real Kafka broker that a test may kill. What fails to happen to it ends the test.
type Broker struct {
	t      testing.TB
	server *server.Kafka
}

// BrokerOption changes how StartKafka runs a broker.
type BrokerOption func(*server.KafkaConfig)

// Advertised makes the broker tell clients this address, such as a proxy's in front of it.
func Advertised(address string) BrokerOption {
	return func(config *server.KafkaConfig) { config.Advertised = address }
}

// Property sets a property of the broker, such as log.segment.bytes.
func Property(name, value string) BrokerOption {
	return func(config *server.KafkaConfig) {
		config.Properties[name] = value
	}
}

// StartKafka starts a Kafka broker of the test's own that is its own controller. It ends with the test. The test skips
// when KAFKA_CLASSPATH is unset.
func StartKafka(t testing.TB, options ...BrokerOption) *Broker {
	t.Helper()
	jars := os.Getenv("KAFKA_CLASSPATH")
	if jars == "" {
		t.Skip("set KAFKA_CLASSPATH to the directory of Kafka's jars to run this test")
	}
	settings := server.KafkaConfig{ClassPath: jars, Properties: map[string]string{
		// A killed broker may come back only when its old session is over.
		"broker.session.timeout.ms":    "3000",
		"broker.heartbeat.interval.ms": "500",
	}}
	for _, option := range options {
		option(&settings)
	}
	started, err := server.NewKafka(context.Background(), settings)
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{t: t, server: started}
	t.Cleanup(func() { b.must(started.Close()) })
	return b
}

// Addr returns host:port where the broker listens, the same over restarts.
func (b *Broker) Addr() string { return b.server.Addr() }

// Advertise makes the broker tell clients this address from the next Start on; empty means its own.
func (b *Broker) Advertise(address string) { b.server.Advertise(address) }

// DataDir returns the directory of the topics' logs.
func (b *Broker) DataDir() string { return b.server.DataDir() }

// PID returns the broker's process id, 0 while it is down.
func (b *Broker) PID() int { return b.server.PID() }

// Start starts the stopped or killed broker on the same port and waits until it serves topics and groups.
func (b *Broker) Start() { b.t.Helper(); b.must(b.server.Start(context.Background())) }

// Stop ends the broker in order.
func (b *Broker) Stop() { b.t.Helper(); b.must(b.server.Stop()) }

// Kill kills the broker with SIGKILL.
func (b *Broker) Kill() { b.t.Helper(); b.must(b.server.Kill()) }

// Pause stops the broker's process: connections stay open and nothing answers, until Continue.
func (b *Broker) Pause() { b.t.Helper(); b.must(b.server.Pause()) }

// Continue lets a paused broker go on.
func (b *Broker) Continue() { b.t.Helper(); b.must(b.server.Continue()) }

func (b *Broker) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}
