package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// emitters are the programs in docs/emit.md.
var emitters = []struct{ file, program string }{{"emit.py", "python3"}, {"emit.mjs", "node"}, {"Emit.java", "java"}}

// emitPartitions is more than what a guide's broker has, so that keys are told apart.
const emitPartitions = 12

// emitKeys are users of all kinds: every length, and letters of one to four bytes.
func emitKeys() []string {
	var keys []string
	for i := range 60 {
		keys = append(keys, fmt.Sprint("user-", i), fmt.Sprint("Zoë ", strings.Repeat("é", i)), fmt.Sprint("用户", i), fmt.Sprint(strings.Repeat("x", i), "😀", i), fmt.Sprint(i))
	}
	return keys
}

// emitLines are the events that a program emits: one for each key.
func emitLines(t *testing.T, program string) string {
	t.Helper()
	var lines strings.Builder
	for i, key := range emitKeys() {
		record, err := events.Encode(&events.Event{
			Envelope: events.Envelope{ID: fmt.Sprintf("%s-%d", program, i), Source: "/payments", Type: events.TypePreferenceChanged},
			Preference: &events.Preference{UserID: key, Op: events.PreferencePin, Feature: "client:" + program, Weight: 0.5,
				RecordedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s-%d\t%s\t%s\t%s\n", program, i, events.TypePreferenceChanged, record.Key, record.Value)
	}
	return lines.String()
}

// The programs of the emitters' guide write what the consumers accept, in the partitions where they look for it; what they send
// twice has one effect.
func TestEmittersProgramsOnKafka(t *testing.T) {
	kafka := testenv.Kafka(t)
	pool, url := testenv.Database(t)
	database := config.Postgres{DatabaseURL: config.Secret(url)}
	for _, setting := range config.Environ(nil, &kafka, &database) {
		name, value, _ := strings.Cut(setting, "=")
		t.Setenv(name, value)
	}
	if status := run(t.Context(), []string{"topics", "--partitions", fmt.Sprint(emitPartitions)}, io.Discard, os.Stderr); status != 0 {
		t.Fatalf("topics: status %d", status)
	}
	dir, keys, ran := t.TempDir(), len(emitKeys()), 0
	environment := withClients(t, dir, os.Environ())
	for _, b := range readBlocks(t, filepath.Join("..", "..", "docs", "emit.md")) {
		if b.file != "" {
			b.write(t, dir)
		}
	}
	for _, emitter := range emitters {
		t.Run(emitter.file, func(t *testing.T) {
			require(t, emitter.program)
			for range 2 {
				emit(t, emitter.program, emitter.file, dir, environment, emitLines(t, emitter.program))
			}
			ran++
		})
	}
	if ran == 0 {
		return
	}
	checkEmitted(t, kafka, 2*keys*ran)
	ctx, cancel := context.WithCancel(t.Context())
	consumed := make(chan int, 1)
	go func() {
		consumed <- run(ctx, []string{"consume", "weights", "--metrics-listen="}, io.Discard, io.Discard)
	}()
	testenv.Eventually(t, time.Minute, 50*time.Millisecond, "everything is folded", func() error {
		var applied, repeated, weights int
		err := pool.QueryRow(t.Context(), "SELECT coalesce(sum(applied), 0), coalesce(sum(repeated), 0), (SELECT count(*) FROM user_weights) FROM positions WHERE group_name = 'weights'").Scan(&applied, &repeated, &weights)
		if err == nil && (applied != keys*ran || repeated != keys*ran || weights != keys*ran) {
			err = fmt.Errorf("%d applied, %d repeated, %d weights; want %d each", applied, repeated, weights, keys*ran)
		}
		return err
	})
	cancel()
	if status := <-consumed; status != 0 {
		t.Errorf("consume: status %d", status)
	}
}

// emit runs a program of the guide with lines as its input.
func emit(t *testing.T, program, file, dir string, environment []string, lines string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-c", "exec "+program+" "+file) // a shell looks programs up in the path that it is given
	command.Dir, command.Env, command.Stdin = dir, environment, strings.NewReader(lines)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, file, err, output)
	}
}

// checkEmitted checks every record of the topic.
func checkEmitted(t *testing.T, kafka config.Kafka, count int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.KafkaBrokers...), kgo.ConsumeTopics(kafka.TopicPrefix+events.TopicActions))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var lines bytes.Buffer
	for found := 0; found < count; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("%d of %d records: %v", found, count, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			found++
			if want := events.Partition(r.Key, emitPartitions); int(r.Partition) != want {
				t.Errorf("%s is in partition %d, want %d", r.Key, r.Partition, want)
			}
			printed := printedRecord{Topic: r.Topic, Key: string(r.Key), Payload: string(r.Value)}
			for _, header := range r.Headers {
				printed.Headers = append(printed.Headers, header.Key, string(header.Value))
			}
			line, err := json.Marshal(printed)
			if err != nil {
				t.Fatal(err)
			}
			lines.Write(append(line, '\n'))
		})
	}
	status, out, _ := ran(t, lines.String(), "events", "validate", "-")
	if want := fmt.Sprintf("%d records, %d valid, 0 with faults\n", count, count); status != 0 || out != want {
		t.Errorf("status %d: %s", status, out)
	}
}
