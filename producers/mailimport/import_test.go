package mailimport

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

const threeMessages = from + "From: a@b.example\nMessage-Id: <1@b>\nSubject: one\nDate: 1 Mar 2025 10:00:00 +0000\n\nx\n\n" +
	from + "X-Broken: yes\n\nno mail\n\n" +
	from + "From: c@d.example\nSubject: three\nDate: 1 Mar 2025 11:00:00 +0000\n\ny\n"

// partitions is the partition count of the tests' mail topic.
const partitions = 3

func connect(t *testing.T) (*kfake.Cluster, *broker.Conn) {
	t.Helper()
	cluster, settings := testenv.Kfake(t)
	return cluster, openConn(t, settings)
}

// openConn connects and creates the topics.
func openConn(t *testing.T, settings config.Kafka) *broker.Conn {
	t.Helper()
	conn, err := broker.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := conn.EnsureTopics(t.Context(), broker.Layout{Partitions: partitions, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	return conn
}

func configOf(t *testing.T, content []byte) (Config, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "box.mbox")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	return Config{Paths: []string{path}, UserID: "u1", Now: func() time.Time { return importTime }, Log: slog.New(slog.NewTextHandler(log, nil))}, log
}

// consume reads count records of the partition that user u1's mail belongs to.
func consume(t *testing.T, conn *broker.Conn, count int) []kafka.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: conn.Brokers, Topic: conn.Topic(events.TopicMail),
		Partition: events.Partition([]byte("u1"), partitions), MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 50 * time.Millisecond})
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

// quarantines returns whether each mail is in quarantine, by its subject.
func quarantines(t *testing.T, messages []kafka.Message) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, message := range messages {
		var mail struct {
			Subject     string
			Quarantined bool
		}
		if err := json.Unmarshal(message.Value, &mail); err != nil {
			t.Fatal(err)
		}
		found[mail.Subject] = mail.Quarantined
	}
	return found
}

func TestRun(t *testing.T) {
	_, conn := connect(t)
	config, log := configOf(t, []byte(threeMessages))
	for range 2 {
		result, err := Run(t.Context(), conn, config)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Result{Imported: 2, Broken: 1}, result); diff != "" {
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
		config.Paths, config.Stdin = []string{Stdin}, bytes.NewReader(packed.Bytes())
		if result, err := Run(t.Context(), conn, config); err != nil || result.Imported != 2 {
			t.Errorf("%+v, %v", result, err)
		}
	})
	t.Run("two packed files in one", func(t *testing.T) {
		config, _ := configOf(t, append(bytes.Clone(packed.Bytes()), packed.Bytes()...))
		if result, err := Run(t.Context(), conn, config); err != nil || result.Imported != 4 {
			t.Errorf("%+v, %v", result, err)
		}
	})
	t.Run("torn", func(t *testing.T) {
		config, _ := configOf(t, packed.Bytes()[:packed.Len()-9])
		result, err := Run(t.Context(), conn, config)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), ": message 3 at byte ") || result != (Result{Imported: 1, Broken: 1}) {
			t.Errorf("%+v, %v", result, err)
		}
	})
	t.Run("not gzip despite its first bytes", func(t *testing.T) {
		config, _ := configOf(t, []byte("\x1f\x8bnonsense"))
		if result, err := Run(t.Context(), conn, config); err == nil {
			t.Errorf("%+v without an error", result)
		}
	})
}

// TestRunGoesOnPastUnreadableFiles checks that an unreadable file in a directory does not affect the others.
func TestRunGoesOnPastUnreadableFiles(t *testing.T) {
	_, conn := connect(t)
	dir := tree(t, map[string]string{
		"a.mbox": threeMessages, "b.mbox": "%PDF-1.4", "c.mbox.gz": "\x1f\x8bnonsense", "cur/d": "From: a@b.example\nSubject: four\n\nx\n", "e.eml": "",
	})
	config, log := configOf(t, nil)
	config.Paths, config.StateDir = []string{dir}, t.TempDir()
	result, err := Run(t.Context(), conn, config)
	if diff := cmp.Diff(Result{Imported: 3, Broken: 1, Unreadable: 2}, result); diff != "" || err == nil {
		t.Errorf("%v %s", err, diff)
	}
	for _, name := range []string{"b.mbox", "c.mbox.gz"} {
		if !strings.Contains(log.String(), "file="+filepath.Join(dir, name)+" ") {
			t.Errorf("%s is not named in the log %s", name, log)
		}
	}
	got, _ := subjects(t, consume(t, conn, 3))
	if diff := cmp.Diff([]string{"one", "three", "four"}, got); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.mbox"), []byte(from+"From: a@b.example\nSubject: five\n\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	result, err = Run(t.Context(), conn, config)
	if diff := cmp.Diff(Result{Passed: 4, Imported: 1, Unreadable: 1}, result); diff != "" || err == nil {
		t.Errorf("%v %s", err, diff)
	}
}

// TestRunGoesOnPastLockedDirectories checks that an unreadable directory is logged, and the rest is imported.
func TestRunGoesOnPastLockedDirectories(t *testing.T) {
	if os.Geteuid() == 0 { // root can read everything
		asNobody(t)
		return
	}
	dir := tree(t, map[string]string{"a.mbox": threeMessages, "f/g.eml": "From: a@b.example\n\nx\n"})
	locked := filepath.Join(dir, "f")
	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(locked, 0o700) })
	_, conn := connect(t)
	config, log := configOf(t, nil)
	config.Paths = []string{dir}
	result, err := Run(t.Context(), conn, config)
	if diff := cmp.Diff(Result{Imported: 2, Broken: 1, Unreadable: 1}, result); diff != "" || err == nil || !strings.Contains(log.String(), "file="+locked+" ") {
		t.Errorf("%v %s %s", err, diff, log)
	}
}

// asNobody runs the test again in a process of an unprivileged user.
func asNobody(t *testing.T) {
	t.Helper()
	const nobody = 65534
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program, err := os.ReadFile(os.Args[0])
	copied := filepath.Join(dir, "test")
	if err := errors.Join(err, os.WriteFile(copied, program, 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(copied, "-test.v", "-test.run=^"+t.Name()+"$")
	command.Dir, command.Env = dir, append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRunWithoutTopic(t *testing.T) {
	_, settings := testenv.Kfake(t)
	conn, err := broker.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	config, _ := configOf(t, []byte(threeMessages))
	config.StateDir = t.TempDir()
	if _, err := Run(t.Context(), conn, config); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("got %v", err)
	}
}

// TestRunWithoutStateDirectory checks that an import works without a checkpoint.
func TestRunWithoutStateDirectory(t *testing.T) {
	_, conn := connect(t)
	config, log := configOf(t, []byte(threeMessages))
	config.StateDir = config.Paths[0] // not a directory
	if result, err := Run(t.Context(), conn, config); err != nil || result.Imported != 2 || !strings.Contains(log.String(), "without a checkpoint") {
		t.Errorf("%+v, %v, %s", result, err, log)
	}
}

// TestRunWaitsForKafka checks that a broker that refuses writes for a while delays the import and loses nothing.
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
	config, log := configOf(t, []byte(threeMessages))
	if result, err := Run(t.Context(), conn, config); err != nil || result.Imported != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	for line := range strings.Lines(log.String()) {
		if said := strings.Count(strings.ToLower(line), "not enough"); said > 1 {
			t.Errorf("the fault of two messages is told %d times: %s", said, line)
		}
	}
	if !strings.Contains(log.String(), "waiting for Kafka") {
		t.Errorf("it did not tell that it waits: %s", log)
	}
	got, _ := subjects(t, consume(t, conn, 2))
	if diff := cmp.Diff([]string{"one", "three"}, got); diff != "" {
		t.Error(diff)
	}
	if refusals < 5 {
		t.Errorf("%d produce requests", refusals)
	}
}

// waits records the calls of Progress.Waiting.
type waits struct {
	noProgress
	said []bool
}

func (w *waits) Waiting(waiting bool) { w.said = append(w.said, waiting) }

// TestRunWaitsForKafkaAtItsStart checks that an import also waits while it opens its checkpoint.
func TestRunWaitsForKafkaAtItsStart(t *testing.T) {
	cluster, conn := connect(t)
	refusals := 0
	cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if refusals++; refusals > 2 {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.MetadataResponse)
		for _, topic := range request.(*kmsg.MetadataRequest).Topics {
			answer := kmsg.NewMetadataResponseTopic()
			answer.Topic, answer.ErrorCode = topic.Topic, kerr.LeaderNotAvailable.Code
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	config, _ := configOf(t, []byte(threeMessages))
	said := &waits{}
	config.StateDir, config.Progress = t.TempDir(), said
	if result, err := Run(t.Context(), conn, config); err != nil || result.Imported != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	if len(said.said) < 3 || !said.said[0] || said.said[len(said.said)-1] {
		t.Errorf("said %v", said.said)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	_, conn := connect(t)
	config, _ := configOf(t, []byte(threeMessages))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if result, err := Run(ctx, conn, config); !errors.Is(err, context.Canceled) || result != (Result{}) {
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

func TestConfigValidate(t *testing.T) {
	good := Config{Paths: []string{"x"}, UserID: "u", Addresses: []string{" Me@Home.example"}}
	if err := good.Validate(); err != nil || good.Addresses[0] != "me@home.example" {
		t.Errorf("%v, %v", err, good.Addresses)
	}
	bad := Config{Paths: []string{"x"}, Addresses: []string{"me"}}
	if err := bad.Validate(); err == nil || strings.Count(err.Error(), "\n") != 1 {
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
