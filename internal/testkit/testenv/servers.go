package testenv

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/testkit/testenv/server"
)

// Postgres is a PostgreSQL server that a test may kill. If an operation on it fails, the test fails.
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

// Clock lets SetClock change the server's clock. Without the variable LIBFAKETIME it does nothing.
func Clock() PostgresOption {
	return func(config *server.PostgresConfig) { config.Faketime = os.Getenv("LIBFAKETIME") }
}

// StartPostgres starts a dedicated PostgreSQL server. It ends with the test. The test is skipped if PG_BIN is unset.
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

// URL returns the superuser's URL of database postgres, the same across restarts.
func (p *Postgres) URL() string { return p.server.URL() }

// PID returns the postmaster's process id, 0 while it is down.
func (p *Postgres) PID() int { return p.server.PID() }

// Start starts the stopped or killed server and waits until it responds.
func (p *Postgres) Start() { p.t.Helper(); p.must(p.server.Start(context.Background())) }

// Stop stops the server: immediate like a crash, otherwise with a checkpoint.
func (p *Postgres) Stop(immediate bool) { p.t.Helper(); p.must(p.server.Stop(immediate)) }

// Restart stops the server like Stop and starts it again.
func (p *Postgres) Restart(immediate bool) {
	p.t.Helper()
	p.must(p.server.Restart(context.Background(), immediate))
}

// Kill kills the postmaster with SIGKILL.
func (p *Postgres) Kill() { p.t.Helper(); p.must(p.server.Kill()) }

// SetClock makes the clock of a server with Clock be behind the machine's by a number of whole seconds, from its next start on.
func (p *Postgres) SetClock(behind time.Duration) { p.t.Helper(); p.must(p.server.SetClock(behind)) }

func (p *Postgres) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// Broker is a real Kafka broker that a test may kill. If an operation on it fails, the test fails.
type Broker struct {
	t      testing.TB
	server *server.Kafka
}

// BrokerOption changes how StartKafka runs a broker.
type BrokerOption func(*server.KafkaConfig)

// Advertised sets the broker's advertised address, such as that of a proxy.
func Advertised(address string) BrokerOption {
	return func(config *server.KafkaConfig) { config.Advertised = address }
}

// Property sets a property of the broker, such as log.segment.bytes.
func Property(name, value string) BrokerOption {
	return func(config *server.KafkaConfig) {
		config.Properties[name] = value
	}
}

// Beside makes the broker the second one of another's cluster.
func Beside(first *Broker) BrokerOption {
	return func(config *server.KafkaConfig) { config.Beside = first.server }
}

// StartKafka starts a dedicated Kafka broker that is its own controller. It ends with the test. The test is skipped if
// KAFKA_CLASSPATH is unset.
func StartKafka(t testing.TB, options ...BrokerOption) *Broker {
	t.Helper()
	jars := os.Getenv("KAFKA_CLASSPATH")
	if jars == "" {
		t.Skip("set KAFKA_CLASSPATH to the directory of Kafka's jars to run this test")
	}
	settings := server.KafkaConfig{ClassPath: jars, Properties: map[string]string{
		// A killed broker can register again only after its old session has expired.
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

// Addr returns host:port where the broker listens, the same across restarts.
func (b *Broker) Addr() string { return b.server.Addr() }

// Advertise sets the advertised address from the next Start on; empty means the broker's own.
func (b *Broker) Advertise(address string) { b.server.Advertise(address) }

// DataDir returns the directory of the topics' logs.
func (b *Broker) DataDir() string { return b.server.DataDir() }

// PID returns the broker's process id, 0 while it is down.
func (b *Broker) PID() int { return b.server.PID() }

// Start starts the stopped or killed broker on the same port and waits until it serves topics and groups.
func (b *Broker) Start() { b.t.Helper(); b.must(b.server.Start(context.Background())) }

// Stop shuts the broker down.
func (b *Broker) Stop() { b.t.Helper(); b.must(b.server.Stop()) }

// Kill kills the broker with SIGKILL.
func (b *Broker) Kill() { b.t.Helper(); b.must(b.server.Kill()) }

// Pause stops the broker's process: connections stay open, without responses, until Continue.
func (b *Broker) Pause() { b.t.Helper(); b.must(b.server.Pause()) }

// Continue resumes a paused broker.
func (b *Broker) Continue() { b.t.Helper(); b.must(b.server.Continue()) }

func (b *Broker) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}
