package mailimport

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/testenv"
)

const threeMessages = from + "From: a@b.example\nMessage-Id: <1@b>\nSubject: one\nDate: 1 Mar 2025 10:00:00 +0000\n\nx\n\n" +
	from + "X-Broken: yes\n\nno mail\n\n" +
	from + "From: c@d.example\nSubject: three\nDate: 1 Mar 2025 11:00:00 +0000\n\ny\n"

func connect(t *testing.T) (*kfake.Cluster, *broker.Conn) {
	t.Helper()
	cluster, settings := testenv.Kfake(t)
	conn, err := broker.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := conn.EnsureTopics(t.Context(), broker.Layout{Partitions: 3, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	return cluster, conn
}

func configOf(t *testing.T, content []byte) (Config, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "box.mbox")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	return Config{Path: path, UserID: "u1", Now: func() time.Time { return importTime }, Log: slog.New(slog.NewTextHandler(log, nil))}, log
}

// consume reads count records of the partition that user u1's mail belongs to.
func consume(t *testing.T, conn *broker.Conn, count int) []kafka.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: conn.Brokers, Topic: conn.Topic(events.TopicMail),
		Partition: events.Partition([]byte("u1"), 3), MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 50 * time.Millisecond})
	defer reader.Close()
	var messages []kafka.Message
	for len(messages) < count {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			t.Fatalf("after %d records: %v", len(messages), err)
		}
		messages = append(messages, message)
	}
	return messages
}

func subjects(t *testing.T, messages []kafka.Message) (subjects, ids []string) {
	t.Helper()
	decoder := events.NewDecoder()
	for _, message := range messages {
		var headers []events.Header
		for _, header := range message.Headers {
			headers = append(headers, events.Header(header))
		}
		head, err := decoder.Head(headers)
		if err != nil {
			t.Fatal(err)
		}
		var event events.Event
		if err := decoder.Decode(&head, message.Value, &event); err != nil {
			t.Fatal(err)
		}
		if string(message.Key) != "u1" || head.Source != Source || head.Type != events.TypeMailReceived {
			t.Errorf("key %q, source %q, type %s", message.Key, head.Source, head.Type)
		}
		subjects, ids = append(subjects, event.Mail.Subject), append(ids, head.ID)
	}
	return subjects, ids
}

func TestRun(t *testing.T) {
	_, conn := connect(t)
	config, log := configOf(t, []byte(threeMessages))
	for range 2 {
		result, err := Run(t.Context(), conn, config)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Result{Done: 3, Imported: 2, Broken: 1}, result); diff != "" {
			t.Error(diff)
		}
	}
	got, ids := subjects(t, consume(t, conn, 4))
	if diff := cmp.Diff([]string{"one", "three", "one", "three"}, got); diff != "" {
		t.Error(diff)
	}
	if ids[0] != ids[2] || ids[1] != ids[3] || ids[0] == ids[1] {
		t.Errorf("ids %v", ids)
	}
	place := fmt.Sprintf("message=2 byte=%d ", 1+strings.LastIndex(threeMessages[:strings.Index(threeMessages, "X-Broken")], "\nFrom "))
	if text := log.String(); !strings.Contains(text, place) || strings.Contains(text, "no mail") {
		t.Errorf("log %s", text)
	}
}

func TestRunPacked(t *testing.T) {
	_, conn := connect(t)
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write([]byte(threeMessages))
	_ = writer.Close()

	config, _ := configOf(t, packed.Bytes())
	if result, err := Run(t.Context(), conn, config); err != nil || result.Imported != 2 {
		t.Errorf("%+v, %v", result, err)
	}
	t.Run("from standard input", func(t *testing.T) {
		config.Path, config.Stdin = Stdin, bytes.NewReader(packed.Bytes())
		if result, err := Run(t.Context(), conn, config); err != nil || result.Imported != 2 {
			t.Errorf("%+v, %v", result, err)
		}
	})
	t.Run("torn", func(t *testing.T) {
		config, _ := configOf(t, packed.Bytes()[:packed.Len()-9])
		if result, err := Run(t.Context(), conn, config); err == nil {
			t.Errorf("%+v without an error", result)
		}
	})
}

func TestRunSkips(t *testing.T) {
	_, conn := connect(t)
	config, _ := configOf(t, []byte(threeMessages))
	config.Skip = 1
	result, err := Run(t.Context(), conn, config)
	if diff := cmp.Diff(Result{Done: 3, Imported: 1, Broken: 1}, result); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

// TestRunWaitsForKafka: a broker that refuses for a while delays the import and loses nothing.
func TestRunWaitsForKafka(t *testing.T) {
	cluster, conn := connect(t)
	refusals := 0
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if refusals++; refusals > 4 {
			return nil, nil, false
		}
		produce := request.(*kmsg.ProduceRequest)
		response := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range produce.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic = topic.Topic
			for _, partition := range topic.Partitions {
				part := kmsg.NewProduceResponseTopicPartition()
				part.Partition, part.ErrorCode = partition.Partition, kerr.NotEnoughReplicas.Code
				answer.Partitions = append(answer.Partitions, part)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	config, _ := configOf(t, []byte(threeMessages))
	if result, err := Run(t.Context(), conn, config); err != nil || result.Imported != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	got, _ := subjects(t, consume(t, conn, 2))
	if diff := cmp.Diff([]string{"one", "three"}, got); diff != "" {
		t.Error(diff)
	}
	if refusals < 5 {
		t.Errorf("%d produce requests", refusals)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	_, conn := connect(t)
	config, _ := configOf(t, []byte(threeMessages))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if result, err := Run(ctx, conn, config); !errors.Is(err, context.Canceled) || result.Done != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestRemaining(t *testing.T) {
	var refused []int
	again := remaining([]int{3, 5, 8}, kafka.WriteErrors{nil, kafka.MessageSizeTooLarge, kafka.NotLeaderForPartition},
		func(index int, _ error) { refused = append(refused, index) })
	if !cmp.Equal(again, []int{8}) || !cmp.Equal(refused, []int{5}) {
		t.Errorf("again %v, refused %v", again, refused)
	}
	if again := remaining([]int{3, 5}, errors.New("no broker"), nil); !cmp.Equal(again, []int{3, 5}) {
		t.Errorf("again %v", again)
	}
}

func TestInputs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"Maildir/cur/1:2,S", "Maildir/new/2", "Maildir/tmp/3", "Maildir/dovecot.index", "a.EML", "b.mbox.gz", "notes.txt"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := inputs(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		name, _ := filepath.Rel(dir, file.path)
		names = append(names, name)
	}
	if diff := cmp.Diff([]string{"Maildir/cur/1:2,S", "Maildir/new/2", "a.EML", "b.mbox.gz"}, names); diff != "" {
		t.Error(diff)
	}
	if _, err := inputs(filepath.Join(dir, "Maildir/tmp")); err == nil {
		t.Error("a directory without mail is accepted")
	}
	if _, err := inputs(filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestConfigValidate(t *testing.T) {
	good := Config{UserID: "u", Addresses: []string{" Me@Home.example"}}
	if err := good.Validate(); err != nil || good.Addresses[0] != "me@home.example" {
		t.Errorf("%v, %v", err, good.Addresses)
	}
	bad := Config{Addresses: []string{"me"}, Skip: -1}
	if err := bad.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v", err)
	}
}

func TestUserOf(t *testing.T) {
	db, _ := testenv.Database(t)
	hash := func(token string) []byte { sum := sha256.Sum256([]byte(token)); return sum[:] }
	if _, err := db.Exec(t.Context(), "INSERT INTO users (id) VALUES ('u1')"); err != nil {
		t.Fatal(err)
	}
	_, err := db.Exec(t.Context(), `INSERT INTO tokens (hash, user_id, kind, expires_at) VALUES
		($1, 'u1', 'bearer', NULL), ($2, 'u1', 'bearer', now() - interval '1 minute'), ($3, 'u1', 'session', NULL)`,
		hash("good"), hash("old"), hash("session"))
	if err != nil {
		t.Fatal(err)
	}
	if user, err := UserOf(t.Context(), db, "good"); err != nil || user != "u1" {
		t.Errorf("got %q, %v", user, err)
	}
	for _, token := range []string{"old", "session", "none"} {
		if _, err := UserOf(t.Context(), db, token); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", token, err)
		}
	}
}

func TestMeter(t *testing.T) {
	now := importTime
	var out bytes.Buffer
	meter := NewMeter(&out, false, func() time.Time { return now })
	now = now.Add(9 * time.Second)
	meter.Update(10, 0, 1<<20, 4<<20)
	now = now.Add(time.Second)
	meter.Update(20, 1, 2<<20, 4<<20)
	meter.Finish()
	if want := " 50 %  20 messages, 2.0 MiB, 2/s, 1 broken, 10s left\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}

	out.Reset()
	terminal := NewMeter(&out, true, func() time.Time { return now })
	now = now.Add(time.Second)
	terminal.Update(5, 0, 100, 0)
	terminal.Waiting(true)
	terminal.Waiting(true)
	terminal.Finish()
	line := "\r\x1b[K5 messages, 100 B, 5/s"
	if want := line + line + "  waiting for Kafka" + line + "\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
