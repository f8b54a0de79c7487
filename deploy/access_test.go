package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

func TestPasswordsAreRandomAndKept(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "deploy"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"passwords.sh", "example.env"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "deploy", name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script, env := filepath.Join(root, "deploy", "passwords.sh"), filepath.Join(root, ".env")
	if output, err := exec.Command("sh", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	info, err := os.Stat(env)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	first, seen := readEnv(t, env), map[string]bool{}
	for name, value := range readEnv(t, "example.env") {
		password := isSecret(name)
		switch {
		case password && (!regexp.MustCompile(`^([0-9a-f]{48}|[0-9A-Za-z+/]{43}=)$`).MatchString(first[name]) || seen[first[name]]):
			t.Errorf("%s is %q", name, first[name])
		case !password && first[name] != value:
			t.Errorf("%s is %q, want %q", name, first[name], value)
		}
		seen[first[name]] = password
	}
	if output, err := exec.Command("sh", script).CombinedOutput(); err == nil {
		t.Errorf("it replaced .env:\n%s", output)
	}
}

// TestKafkaAsksForAPassword runs a real broker with the settings of docker-compose.yml, on other ports. Kafka's tools are not
// among the jars; the test sets the user's password as kafka-configs.sh of the service kafka-user does.
func TestKafkaAsksForAPassword(t *testing.T) {
	const password = "5ec7e7"
	services := readCompose(t).Services
	k := startKafka(t, services["kafka"].Environment)
	testenv.Eventually(t, time.Minute, 100*time.Millisecond, "the health check succeeds", func() error { return answers(t, config.Kafka{KafkaBrokers: []string{k.local}}) })
	k.setPassword("applylens", password)
	for _, address := range []string{k.internal, k.host} {
		settings := config.Kafka{
			KafkaBrokers: []string{address}, KafkaSASLMechanism: services["api"].Environment["KAFKA_SASL_MECHANISM"],
			KafkaSASLUsername: services["api"].Environment["KAFKA_SASL_USERNAME"], KafkaSASLPassword: password,
		}
		testenv.Eventually(t, time.Minute, 100*time.Millisecond, "the user is admitted", func() error { return answers(t, settings) })
		settings.KafkaSASLPassword = "wrong"
		if answers(t, settings) == nil {
			t.Error("a wrong password is accepted")
		}
		if answers(t, config.Kafka{KafkaBrokers: settings.KafkaBrokers}) == nil {
			t.Error("a client without a password is admitted")
		}
	}
}

// composeKafka is a broker with the settings of docker-compose.yml on ports of its own.
type composeKafka struct {
	t                     *testing.T
	dir, jars             string
	internal, host, local string // addresses of the listeners
}

func startKafka(t *testing.T, environment map[string]string) *composeKafka {
	t.Helper()
	jars := os.Getenv("KAFKA_CLASSPATH")
	if jars == "" {
		t.Skip("set KAFKA_CLASSPATH to the directory of Kafka's jars to run this test")
	}
	k := &composeKafka{t, t.TempDir(), jars, testenv.FreeAddress(t), testenv.FreeAddress(t), testenv.FreeAddress(t)}
	properties := filepath.Join(k.dir, "server.properties")
	if err := os.WriteFile(properties, []byte(k.properties(environment)), 0o600); err != nil {
		t.Fatal(err)
	}
	format := k.java("kafka.tools.StorageTool", "format", "--cluster-id", environment["CLUSTER_ID"], "--config", properties)
	if output, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format: %v\n%s", err, output)
	}
	server := k.java("kafka.Kafka", properties)
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	return k
}

// properties translates the environment as the image does, and replaces what belongs to a container.
func (k *composeKafka) properties(environment map[string]string) string {
	var text strings.Builder
	for name, value := range environment {
		name, ok := strings.CutPrefix(name, "KAFKA_")
		if !ok || name == "HEAP_OPTS" || name == "LOG_DIRS" {
			continue
		}
		name = strings.NewReplacer("...", "-", "..", "_").Replace(strings.ReplaceAll(strings.ToLower(name), "_", "."))
		fmt.Fprintf(&text, "%s=%s\n", name, value)
	}
	controller := testenv.FreeAddress(k.t)
	moved := text.String()
	for from, to := range map[string]string{
		"INTERNAL://:9092": "INTERNAL://" + k.internal, "INTERNAL://kafka:9092": "INTERNAL://" + k.internal,
		"HOST://:29092": "HOST://" + k.host, "HOST://127.0.0.1:${KAFKA_PORT:-29092}": "HOST://" + k.host,
		"LOCAL://127.0.0.1:9094": "LOCAL://" + k.local, "CONTROLLER://127.0.0.1:9093": "CONTROLLER://" + controller, "1@127.0.0.1:9093": "1@" + controller,
	} {
		if !strings.Contains(moved, from) {
			k.t.Fatalf("there is no %s in the settings:\n%s", from, moved)
		}
		moved = strings.ReplaceAll(moved, from, to)
	}
	return moved + "log.dirs=" + filepath.Join(k.dir, "data") + "\n"
}

func (k *composeKafka) java(arguments ...string) *exec.Cmd {
	command := exec.Command("java", append([]string{"-Xmx256m", "-cp", filepath.Join(k.jars, "*")}, arguments...)...)
	command.Dir = k.dir
	return command
}

// setPassword sets a user's password through the listener that asks for none.
func (k *composeKafka) setPassword(user, password string) {
	k.t.Helper()
	conn, err := broker.Open(config.Kafka{KafkaBrokers: []string{k.local}})
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	set, err := conn.Admin.AlterUserSCRAMs(k.t.Context(), nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: password}})
	if err := errors.Join(err, set.Error()); err != nil {
		k.t.Fatal(err)
	}
}

// answers returns an error unless the brokers answer a client with the settings.
func answers(t *testing.T, settings config.Kafka) error {
	conn, err := broker.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = conn.Admin.ListTopics(ctx)
	return err
}
