package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/proposals"
	"github.com/applylens/applylens/internal/proposer"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/turns"
	"github.com/applylens/applylens/producers/relay"
)

// patient is a deployment that the tests examine with "applylens doctor".
type patient struct {
	t       *testing.T
	command doctorCommand
	conn    *broker.Conn
	pool    *pgxpool.Pool
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	_, kafka := testenv.Kfake(t)
	pool, url := testenv.Database(t)
	conn, err := broker.Open(kafka)
	mustDo(t, err)
	t.Cleanup(conn.Close)
	mustDo(t, conn.EnsureTopics(t.Context(), broker.Layout{Partitions: 2, ReplicationFactor: 1}))
	return &patient{t, doctorCommand{Kafka: kafka, Postgres: config.Postgres{DatabaseURL: config.Secret(url)}, Elasticsearch: config.Elasticsearch{ElasticsearchAlias: "emails"}}, conn, pool}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *patient) exec(statement string, args ...any) {
	p.t.Helper()
	_, err := p.pool.Exec(p.t.Context(), statement, args...)
	mustDo(p.t, err)
}

// examine runs the command and returns its findings. The command must fail if and only if a finding is a failure.
func (p *patient) examine() []finding {
	p.t.Helper()
	p.command.JSON = true
	var out bytes.Buffer
	err := p.command.Run(p.t.Context(), &process{log: slog.New(slog.DiscardHandler), stdout: &out})
	var result struct {
		Healthy  bool
		Findings []finding
	}
	mustDo(p.t, json.Unmarshal(out.Bytes(), &result))
	failed := false
	for _, f := range result.Findings {
		failed = failed || f.Level == levelFail
		if f.Level == levelOK && f.ToDo != "" {
			p.t.Errorf("%s is OK, but has a remedy: %s", f.Check, f.ToDo)
		}
	}
	if failed != (err != nil) || result.Healthy != (err == nil) {
		p.t.Errorf("the command ended with %v, healthy %t, findings %+v", err, result.Healthy, result.Findings)
	}
	return result.Findings
}

// expect requires a finding with the level and the check, and with part in its detail.
func (p *patient) expect(level, check, part string) {
	p.t.Helper()
	found := p.examine()
	for _, f := range found {
		if f.Level == level && f.Check == check && strings.Contains(f.Detail, part) {
			return
		}
	}
	p.t.Errorf("there is no %s on %s with %q in %+v", level, check, part, found)
}

func TestDoctorFindsNothingToFailOnAFreshDeployment(t *testing.T) {
	p := newPatient(t)
	for _, f := range p.examine() {
		if f.Level == levelFail {
			t.Errorf("%+v", f)
		}
	}
	for _, check := range []string{"settings", "kafka", "clocks", "schema", "version weights", "version enrichment", "dead letters"} {
		p.expect(levelOK, check, "")
	}
	p.expect(levelWarn, "relay", "no relay is running")
	p.expect(levelWarn, "group mailbox", "STOPPED")
	p.expect(levelWarn, "topic applylens.mail", "there is only one replica")
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Run("outbox without a relay", func(t *testing.T) {
		p := newPatient(t)
		p.exec(`INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, headers, recorded_at)
			VALUES ('1', 'applylens.actions', 'u', 't', '{}', '[]', now() - interval '90 s')`)
		p.expect(levelFail, "relay", "1 events are waiting, the oldest for 1m30")
	})
	t.Run("new mail without a proposer", func(t *testing.T) {
		p := newPatient(t)
		p.exec("INSERT INTO users (id) VALUES ('ann')")
		p.exec("INSERT INTO new_mails (user_id, mail_id, received_at, late, folded_at) VALUES ('ann', gen_random_uuid(), now(), false, now() - interval '6 minutes')")
		p.expect(levelWarn, "proposer", "nobody proposes unless asked; 1 new mails are waiting")
		chooser := &proposals.Chooser{Mails: proposals.Mails{Pool: p.pool}, Processors: turns.New()}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- proposer.Run(ctx, proposer.Config{Pool: p.pool, Chooser: chooser, Log: slog.New(slog.DiscardHandler)})
		}()
		testenv.Eventually(t, 30*time.Second, 10*time.Millisecond, "somebody leads", func() error {
			leads, err := proposer.HasLeader(ctx, p.pool)
			if err == nil && !leads {
				err = errors.New("nobody does")
			}
			return err
		})
		p.expect(levelWarn, "proposer", "1 new mails are waiting, the oldest for 6m") // the mail is not there, and may yet come
		p.exec("DELETE FROM new_mails")
		p.expect(levelOK, "proposer", "0 are waiting")
		cancel()
		mustDo(t, <-ended)
	})
	t.Run("warehouses", func(t *testing.T) {
		p := newPatient(t)
		p.exec("INSERT INTO warehouse_sources (source, tried_at, synced_at, newest_at) VALUES ('one', now(), now(), now())")
		p.expect(levelOK, "warehouse", "0 applications of one")
		p.exec("UPDATE warehouse_sources SET newest_at = now() - interval '3 days'")
		p.expect(levelWarn, "warehouse", "the newest row of one is from")
		p.exec("UPDATE warehouse_sources SET error = 'the network is down'")
		p.expect(levelWarn, "warehouse", "the last sync of one failed: the network is down")
		p.exec("UPDATE warehouse_sources SET held_at = now(), held_reason = 'empty', held_detail = 'the source has no rows'")
		p.expect(levelFail, "warehouse", "for empty: the source has no rows")
		t.Setenv("DATABASE_URL", string(p.command.Postgres.DatabaseURL))
		if got := call("warehouse", "forget", "two", "--reason", "mistyped"); got.status != 1 || !strings.Contains(got.stderr, `"two": there is no such source; there are 1: one`) {
			t.Errorf("forget a source that there is not: %+v", got)
		}
		if got := call("warehouse", "forget", "one", "--reason", "mistyped"); got.status != 0 {
			t.Errorf("forget: %+v", got)
		}
		for _, f := range p.examine() {
			if f.Check == "warehouse" {
				t.Errorf("a forgotten source: %+v", f)
			}
		}
	})
	t.Run("index without a running indexer", func(t *testing.T) {
		p := newPatient(t)
		testenv.Index(t, p.pool)
		p.expect(levelOK, "index", "0 mails are waiting")
		p.exec("INSERT INTO dirty_mails (mail_id, refusals) VALUES (gen_random_uuid(), 1)")
		p.expect(levelWarn, "index", "rejected the documents of 1 mails")
		p.exec("INSERT INTO dirty_mails (mail_id, marked_at) VALUES (gen_random_uuid(), now() - interval '2 hours')")
		p.expect(levelFail, "index", "2 changed mails are waiting, the oldest for 2h0m")
	})
	t.Run("Elasticsearch", func(t *testing.T) {
		p := newPatient(t)
		address, prefix := testenv.Elasticsearch(t)
		p.command.Elasticsearch = config.Elasticsearch{ElasticsearchURL: []string{address}, ElasticsearchAlias: prefix + "emails"}
		p.expect(levelOK, "elasticsearch", "0 indices")
		p.expect(levelWarn, "index", "no index yet")
		client, err := elastic.Open(p.command.Elasticsearch)
		mustDo(t, err)
		mustDo(t, client.Create(t.Context(), prefix+"other", "another deployment"))
		mustDo(t, client.Serve(t.Context(), prefix+"other"))
		p.expect(levelFail, "elasticsearch", "is not this deployment's")
		p.command.Elasticsearch.ElasticsearchURL = []string{"http://127.0.0.1:1"}
		p.expect(levelFail, "elasticsearch", "")
		p.command.Elasticsearch.ElasticsearchURL = []string{"nowhere"}
		p.expect(levelFail, "settings", "--elasticsearch-url is not")
	})
	t.Run("dead rows of the outbox", func(t *testing.T) {
		p := newPatient(t)
		p.exec(`INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, headers, state) VALUES ('1', 'x', 'u', 't', '{}', '[]', 'dead')`)
		p.expect(levelWarn, "outbox", "1 events can never be published")
	})
	t.Run("live version of another binary", func(t *testing.T) {
		p := newPatient(t)
		p.exec("UPDATE versions SET fold_version = 99 WHERE group_name = 'policystats'")
		p.expect(levelFail, "version policystats", "folded by rule 99")
	})
	t.Run("paused version", func(t *testing.T) {
		p := newPatient(t)
		p.exec("INSERT INTO versions (group_name, version, fold_version, state, paused) SELECT group_name, 2, fold_version, 'building', true FROM versions WHERE group_name = 'weights'")
		p.expect(levelWarn, "version weights", "the build of version 2 is paused")
	})
	t.Run("open dead letters", func(t *testing.T) {
		p := newPatient(t)
		p.exec(`INSERT INTO dead_letters (group_name, version, cluster_id, topic, topic_id, partition, log_offset, value_bytes, reason, detail)
			VALUES ('weights', 1, 'c', 'applylens.actions', gen_random_uuid(), 0, 0, 0, 'key', 'd')`)
		p.expect(levelWarn, "dead letters", "1 of weights are open")
	})
	t.Run("halted partition", func(t *testing.T) {
		p := newPatient(t)
		topic, err := p.conn.DescribeTopic(t.Context(), events.TopicActions)
		mustDo(t, err)
		p.exec(`INSERT INTO positions (group_name, version, cluster_id, topic, topic_id, partition, next_offset, began_at, state, halt_reason, halt_detail)
			VALUES ('weights', 1, $1, $2, $3, 1, 0, 0, 'halted', 'gap', 'records are gone')`, topic.Cluster, events.TopicActions, topic.ID)
		p.expect(levelFail, "group weights", "HALTED; 1 of 2 partitions: halted: gap: records are gone")
	})
	t.Run("grown topic", func(t *testing.T) {
		p := newPatient(t)
		topic, err := p.conn.DescribeTopic(t.Context(), events.TopicMail)
		mustDo(t, err)
		p.exec("INSERT INTO topic_partitions (cluster_id, topic_id, topic, partitions) VALUES ($1, $2, $3, 1)", topic.Cluster, topic.ID, events.TopicMail)
		p.expect(levelFail, "partitions", "topic applylens.mail has 2 partitions instead of 1")
	})
	t.Run("another deployment in a group", func(t *testing.T) {
		p := newPatient(t)
		other, _ := testenv.Database(t)
		_, err := other.Exec(t.Context(), "UPDATE deployment SET id = gen_random_uuid()") // all tests copy one database
		mustDo(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		cfg := consumers.Config{Group: knownGroups().Find("weights"), Broker: p.conn, Pool: other, Log: slog.New(slog.DiscardHandler),
			Metrics: consumers.NewMetrics(prometheus.NewRegistry()), Owner: "other"}
		go func() { ended <- consumers.Run(ctx, cfg) }()
		testenv.Eventually(t, 30*time.Second, 10*time.Millisecond, "the other deployment folds", func() error {
			var owned int
			err := other.QueryRow(ctx, "SELECT count(*) FROM positions WHERE owner = 'other'").Scan(&owned)
			if err == nil && owned != 2 {
				err = fmt.Errorf("it owns %d partitions", owned)
			}
			return err
		})
		p.expect(levelFail, "members", "group applylens.weights: another deployment")
		cancel()
		mustDo(t, <-ended)
	})
	t.Run("missing topic", func(t *testing.T) {
		p := newPatient(t)
		_, err := p.conn.Admin.DeleteTopics(t.Context(), events.TopicMail)
		mustDo(t, err)
		p.expect(levelFail, "topic applylens.mail", "Kafka does not have it")
	})
	t.Run("finite retention", func(t *testing.T) {
		p := newPatient(t)
		p.alter("retention.ms", "604800000")
		p.expect(levelWarn, "topic applylens.actions", "retention.ms is 604800000")
	})
	t.Run("compacted topic", func(t *testing.T) {
		p := newPatient(t)
		p.alter("cleanup.policy", "compact")
		p.expect(levelFail, "topic applylens.actions", "cleanup.policy is compact")
	})
	t.Run("too few in-sync replicas", func(t *testing.T) {
		p := newPatient(t)
		p.alter("min.insync.replicas", "2")
		p.expect(levelFail, "topic applylens.actions", "1 of its replicas are in sync, 2 are required")
	})
	t.Run("record dated in the future", func(t *testing.T) {
		p := newPatient(t)
		producer, err := kgo.NewClient(kgo.SeedBrokers(p.command.Kafka.KafkaBrokers...))
		mustDo(t, err)
		t.Cleanup(producer.Close)
		record := &kgo.Record{Topic: events.TopicActions, Value: []byte("{}"), Timestamp: time.Now().Add(time.Hour)}
		mustDo(t, producer.ProduceSync(t.Context(), record).FirstErr())
		p.expect(levelWarn, "topic applylens.actions", "its latest record is dated 59m5")
	})
	t.Run("schema of an earlier binary", func(t *testing.T) {
		p := newPatient(t)
		p.exec("DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)")
		p.expect(levelFail, "schema", "lacks migrations")
	})
	t.Run("database that was never migrated", func(t *testing.T) {
		p := newPatient(t)
		p.exec("DROP TABLE goose_db_version")
		p.expect(levelFail, "schema", "lacks migrations")
		var created bool
		mustDo(t, p.pool.QueryRow(t.Context(), migratedSQL).Scan(&created))
		if created {
			t.Error("the doctor changed the database")
		}
	})
	t.Run("read-only database", func(t *testing.T) {
		p := newPatient(t)
		p.exec("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$")
		p.expect(levelFail, "postgres", "is read-only")
	})
	t.Run("brokers that admit everybody", func(t *testing.T) {
		p := newPatient(t)
		p.expect(levelWarn, "kafka access", "the brokers admit clients without a password")
	})
	t.Run("brokers that admit one user", func(t *testing.T) {
		p := newPatient(t)
		_, kafka := testenv.Kfake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"), kfake.Superuser("SCRAM-SHA-512", "u", "p"))
		kafka.KafkaSASLMechanism, kafka.KafkaSASLUsername, kafka.KafkaSASLPassword = "scram-sha-512", "u", "p"
		p.command.Kafka = kafka
		p.expect(levelOK, "kafka access", "turn away clients without a password")
		p.command.Kafka.KafkaSASLMechanism = "plain"
		p.expect(levelWarn, "kafka access", "sends the password to whoever listens")
	})
	t.Run("PostgreSQL that admits everybody", func(t *testing.T) {
		p := newPatient(t)
		var trusted bool // "applylens up" has a server that admits nobody
		mustDo(t, p.pool.QueryRow(t.Context(), "SELECT bool_or(auth_method = 'trust' AND type = 'host') FROM pg_hba_file_rules").Scan(&trusted))
		if !trusted {
			t.Skip("the server of DATABASE_URL asks for passwords")
		}
		p.expect(levelWarn, "postgres access", "without its password")
	})
	t.Run("Kafka unavailable", func(t *testing.T) {
		p := newPatient(t)
		p.command.Kafka.KafkaBrokers = []string{"127.0.0.1:1"}
		p.expect(levelFail, "kafka", "no response")
	})
	t.Run("PostgreSQL unavailable", func(t *testing.T) {
		p := newPatient(t)
		p.command.Postgres.DatabaseURL = "postgres://nobody@127.0.0.1:1/none?sslmode=disable"
		p.expect(levelFail, "postgres", "no response")
	})
	t.Run("settings", func(t *testing.T) {
		p := newPatient(t)
		p.command.Kafka.KafkaBrokers = []string{"nowhere"}
		p.command.Postgres.DatabaseURL = ""
		p.expect(levelFail, "settings", `"nowhere" is not host:port`)
		p.expect(levelFail, "settings", "no database: set")
	})
}

// alter sets a setting of the actions' topic.
func (p *patient) alter(name, value string) {
	p.t.Helper()
	answers, err := p.conn.Admin.AlterTopicConfigs(p.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, events.TopicActions)
	mustDo(p.t, err)
	for _, answer := range answers {
		mustDo(p.t, answer.Err)
	}
}

func TestDoctorSeesTheRelayLead(t *testing.T) {
	p := newPatient(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- relay.Run(ctx, relay.Config{Pool: p.pool, Conn: p.conn, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	}()
	deadline := time.After(30 * time.Second)
	for leads := false; !leads; {
		var err error
		leads, err = relay.HasLeader(t.Context(), p.pool)
		mustDo(t, err)
		select {
		case <-deadline:
			t.Fatal("no relay is the leader")
		default:
		}
	}
	p.expect(levelOK, "relay", "a relay is the leader")
	cancel()
	mustDo(t, <-ended)
}

func TestDoctorJudgesClocks(t *testing.T) {
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	f := func(asked, answered, clock time.Duration, want string) {
		t.Helper()
		var c checkup
		c.clock(noon.Add(asked), noon.Add(answered), noon.Add(clock))
		if got := c.findings[0]; got.Level != want {
			t.Errorf("asked at %s, answered at %s, clock %s: %+v, want %s", asked, answered, clock, got, want)
		}
	}
	f(0, time.Millisecond, 0, levelOK)
	f(0, 10*time.Second, 9*time.Second, levelOK) // a slow response is not skew
	f(0, 0, 2*time.Second, levelOK)
	f(0, 0, 3*time.Second, levelWarn)
	f(0, 0, -3*time.Second, levelWarn)
	f(0, 0, -5*time.Minute, levelFail)
	f(0, 0, time.Hour, levelFail)
}

func TestDoctorJudgesTheDisk(t *testing.T) {
	dir := t.TempDir()
	f := func(dir string, warn, fail uint64, want string) {
		t.Helper()
		var c checkup
		c.disk(dir, warn, fail)
		if got := c.findings[0]; got.Level != want || !strings.Contains(got.Detail, dir) {
			t.Errorf("warning below %d, failing below %d: %+v, want %s", warn, fail, got, want)
		}
	}
	f(dir, 0, 0, levelOK)
	f(dir, math.MaxUint64, 0, levelWarn)
	f(dir, math.MaxUint64, math.MaxUint64, levelFail)
	f(filepath.Join(dir, "missing"), 0, 0, levelFail)
	var c checkup
	c.disk("", math.MaxUint64, math.MaxUint64)
	if len(c.findings) > 0 {
		t.Errorf("no directory: %+v", c.findings)
	}
}

func TestDoctorPrintsALinePerFinding(t *testing.T) {
	c := checkup{}
	c.ok("a", "fine")
	c.add(levelFail, "longer", "mend it", "two\n\tlines \x1b[2J")
	var out bytes.Buffer
	mustDo(t, c.print(&out))
	want := "OK    a       fine\nFAIL  longer  two lines \uFFFD[2J\n              to do: mend it\n"
	if out.String() != want {
		t.Errorf("printed\n%q, want\n%q", out.String(), want)
	}
}
