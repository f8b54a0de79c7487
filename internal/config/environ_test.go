package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEnvironSaysJustWhatTheSettingsSay(t *testing.T) {
	kafka := Kafka{KafkaBrokers: []string{"a:1", "b:2"}, KafkaTLS: true, KafkaSASLPassword: "secret"}
	database := Postgres{DatabaseURL: "postgres://x", DatabasePoolSize: 3}
	base := []string{"HOME=/home", "KAFKA_BROKERS=other:1", "KAFKA_CA_FILE=/ca", "TOPIC_PREFIX=other.", "DATABASE_URL_FILE=/url"}
	got := Environ(base, &kafka, &database)
	want := []string{
		"HOME=/home", "KAFKA_BROKERS=a:1,b:2", "KAFKA_SASL_PASSWORD=secret", "KAFKA_TLS=true", "DATABASE_URL=postgres://x", "DATABASE_POOL_SIZE=3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if base[1] != "KAFKA_BROKERS=other:1" {
		t.Error("the given environment was changed")
	}
}
