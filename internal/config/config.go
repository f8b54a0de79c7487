// Package config declares the settings that several subcommands share, as structs that the command-line parser fills from
// flags and environment variables. It is the only package with the names of environment variables.
//
// It validates whatever can be checked without a connection, and prints secrets as ***. It opens no connection.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/printable"
)

// Secret is a setting that is never printed.
type Secret string

// String returns *** unless the secret is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps secrets out of JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Kafka has the settings of the brokers.
type Kafka struct {
	KafkaBrokers          []string `help:"Addresses of Kafka brokers, as host:port." env:"KAFKA_BROKERS" placeholder:"HOST:PORT,..."`
	KafkaSASLMechanism    string   `name:"kafka-sasl-mechanism" help:"SASL mechanism: plain, scram-sha-256 or scram-sha-512." env:"KAFKA_SASL_MECHANISM" enum:",plain,scram-sha-256,scram-sha-512" default:""`
	KafkaSASLUsername     string   `name:"kafka-sasl-username" help:"SASL user name." env:"KAFKA_SASL_USERNAME"`
	KafkaSASLPassword     Secret   `name:"kafka-sasl-password" help:"SASL password." env:"KAFKA_SASL_PASSWORD"`
	KafkaSASLPasswordFile string   `name:"kafka-sasl-password-file" help:"File that contains the SASL password." env:"KAFKA_SASL_PASSWORD_FILE" type:"path"`
	KafkaTLS              bool     `name:"kafka-tls" help:"Use TLS for connections to Kafka." env:"KAFKA_TLS"`
	KafkaCAFile           string   `name:"kafka-ca-file" help:"PEM file of the certificate authorities of the brokers; implies --kafka-tls." env:"KAFKA_CA_FILE" type:"path"`
	TopicPrefix           string   `help:"Prefix of every topic and group name, such as \"staging.\"." env:"TOPIC_PREFIX"`
}

// Validate lists every fault of the settings.
func (k *Kafka) Validate() error {
	var faults []error
	if len(k.KafkaBrokers) == 0 {
		faults = append(faults, Missing("no Kafka broker: set --kafka-brokers or KAFKA_BROKERS (host:port)"))
	}
	for _, broker := range k.KafkaBrokers {
		if _, _, err := net.SplitHostPort(broker); err != nil {
			faults = append(faults, fmt.Errorf("--kafka-brokers: %q is not host:port", broker))
		}
	}
	password, err := fromFile(k.KafkaSASLPassword, k.KafkaSASLPasswordFile, "kafka-sasl-password")
	if err != nil {
		faults = append(faults, err)
	}
	k.KafkaSASLPassword, k.KafkaSASLPasswordFile = password, ""
	if k.KafkaSASLMechanism != "" && (k.KafkaSASLUsername == "" || k.KafkaSASLPassword == "") {
		faults = append(faults, errors.New("--kafka-sasl-mechanism needs --kafka-sasl-username and --kafka-sasl-password"))
	}
	if k.KafkaCAFile != "" {
		k.KafkaTLS = true
	}
	return errors.Join(faults...)
}

// Postgres has the settings of the database.
type Postgres struct {
	DatabaseURL      Secret `name:"database-url" help:"PostgreSQL URL, such as postgres://user:password@host:5432/applylens; pool_max_conns sets the size of the pool." env:"DATABASE_URL" placeholder:"URL"`
	DatabaseURLFile  string `name:"database-url-file" help:"File that contains the PostgreSQL URL." env:"DATABASE_URL_FILE" type:"path"`
	DatabasePoolSize int    `help:"Most connections in the pool; 0: as in the URL, or 16." env:"DATABASE_POOL_SIZE" default:"0"`
}

// Validate lists every fault of the settings.
func (p *Postgres) Validate() error {
	url, err := fromFile(p.DatabaseURL, p.DatabaseURLFile, "database-url")
	if err != nil {
		return err
	}
	p.DatabaseURL, p.DatabaseURLFile = url, "" // so that Validate can be called again
	if p.DatabaseURL == "" {
		return Missing("no database: set --database-url or DATABASE_URL (postgres://...)")
	}
	return nil
}

// Warehouse has the settings of the source of job applications and of its guard.
type Warehouse struct {
	WarehouseURL             Secret        `name:"warehouse-url" help:"Source of job applications: postgres://USER:PASSWORD@HOST/DATABASE; bigquery://PROJECT/DATASET; a .csv, .csv.gz or .parquet file, or a file pattern; or kafka:TOPIC with changes in Debezium's format." env:"WAREHOUSE_URL" placeholder:"URL"`
	WarehouseURLFile         string        `name:"warehouse-url-file" help:"File that contains the warehouse URL." env:"WAREHOUSE_URL_FILE" type:"path"`
	WarehouseName            string        `help:"Fixed name of the source, if its URL changes, as that of a daily export may." env:"WAREHOUSE_NAME"`
	WarehouseView            string        `help:"The view in PostgreSQL or BigQuery, optionally with its schema." env:"WAREHOUSE_VIEW" default:"vw_applications_enriched"`
	WarehouseLocation        string        `help:"Location of the dataset in BigQuery, such as europe-west3; not needed for US and EU." env:"WAREHOUSE_LOCATION"`
	WarehouseCredentialsFile string        `help:"Key file of a service account for BigQuery; default: the machine's default credentials." env:"WAREHOUSE_CREDENTIALS_FILE" type:"path"`
	WarehouseOverlap         time.Duration `help:"How far before the newest known row a partial read begins; the duration of a load of the warehouse." env:"WAREHOUSE_OVERLAP" default:"6h"`
	WarehouseMaxRemoved      float64       `help:"Greatest share of a system's applications that may be removed at once." env:"WAREHOUSE_MAX_REMOVED" default:"0.1"`
	WarehouseMaxChanged      float64       `help:"Greatest share of a system's applications that may change at once." env:"WAREHOUSE_MAX_CHANGED" default:"0.5"`
	WarehouseGuardLeast      int64         `help:"This many applications may always be removed or changed at once." env:"WAREHOUSE_GUARD_LEAST" default:"20"`
}

// Validate reads the URL and lists every fault that can be found without a connection.
func (w *Warehouse) Validate() error {
	url, err := fromFile(w.WarehouseURL, w.WarehouseURLFile, "warehouse-url")
	if err != nil {
		return err
	}
	w.WarehouseURL, w.WarehouseURLFile = url, "" // so that Validate can be called again
	if url == "" {
		return errors.New("no warehouse: set --warehouse-url or WAREHOUSE_URL")
	}
	return nil
}

// Log has the settings of the log.
type Log struct {
	LogLevel  string `help:"Minimum level: debug, info, warn or error." env:"LOG_LEVEL" enum:"debug,info,warn,error" default:"info"`
	LogFormat string `help:"Format of the log: text or json." env:"LOG_FORMAT" enum:"text,json" default:"text"`
}

// Logger returns a logger to out. What it writes is printable: the text format quotes what is not, by itself.
func (l Log) Logger(out io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.LogLevel))
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: tellOnOneLine}
	if l.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(printable.JSONWriter(out), options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// tellOnOneLine replaces errors, which may span lines and repeat themselves, by one line.
func tellOnOneLine(_ []string, attribute slog.Attr) slog.Attr {
	if err, ok := attribute.Value.Any().(error); ok {
		attribute.Value = slog.StringValue(printable.Error(err))
	}
	return attribute
}

// ShutdownTimeout is how long a process may take to drain after SIGTERM.
const ShutdownTimeout = 10 * time.Second

func fromFile(value Secret, path, name string) (Secret, error) {
	if path == "" {
		return value, nil
	}
	if value != "" {
		return value, fmt.Errorf("--%s and --%s-file are both set: keep one", name, name)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("--%s-file: %w", name, err)
	}
	return Secret(strings.TrimSpace(string(text))), nil
}
