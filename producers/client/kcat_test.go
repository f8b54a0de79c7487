package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testenv"
)

// TestKcatExample runs the example of docs/emit.md as it stands there.
func TestKcatExample(t *testing.T) {
	program := os.Getenv("KCAT")
	if program == "" {
		t.Skip("set KCAT to the command, such as kcat or kafkacat, to run this test")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "emit.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sh\n(echo .*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/emit.md has no example")
	}
	script := strings.NewReplacer("kcat ", program+" ", "-t applylens.actions", "-t x.applylens.actions").Replace(string(block[1]))
	cluster, settings := testenv.Kfake(t, kfake.SeedTopics(partitions, "x."+events.TopicActions))
	command := exec.CommandContext(t.Context(), "sh", "-c", script)
	command.Env = append(os.Environ(), "KAFKA_BROKERS="+settings.KafkaBrokers[0])
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("kcat: %v\n%s", err, out)
	}
	r := read(t, cluster, events.TopicActions, 1)[0]
	var headers []events.Header
	for _, h := range r.Headers {
		headers = append(headers, events.Header{Key: h.Key, Value: h.Value})
	}
	decoder := events.NewDecoder()
	head, err := decoder.Head(headers)
	if err != nil {
		t.Fatal(err)
	}
	var event events.Event
	if err := decoder.Decode(&head, r.Value, &event); err != nil {
		t.Fatal(err)
	}
	if event.Key() != string(r.Key) || events.Partition(r.Key, partitions) != int(r.Partition) {
		t.Errorf("key %q in partition %d is not that of the event", r.Key, r.Partition)
	}
}
