package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// KafkaConfig has the settings of a Kafka broker.
type KafkaConfig struct {
	ClassPath  string            // directory of the jars
	Dir        string            // parent of the data directory. Default: the system's temporary directory
	Advertised string            // advertised host:port, such as that of a proxy. Default: the listener's
	Properties map[string]string // added to kafkaProperties, or replacing them, such as log.segment.bytes
	Beside     *Kafka            // the controller of the cluster that it joins as node 2. Default: a cluster of its own, as node 1
}

// startTimeout is for a machine that runs much else: a broker that has it to itself is ready within ten seconds.
const startTimeout = 4 * time.Minute

// kafkaProperties are for a single node: internal topics without replicas, no waiting for more group members.
var kafkaProperties = map[string]string{
	"process.roles":                            "broker,controller",
	"node.id":                                  "1",
	"controller.listener.names":                "CONTROLLER",
	"inter.broker.listener.name":               "INTERNAL",
	"listener.security.protocol.map":           "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
	"auto.create.topics.enable":                "false",
	"delete.topic.enable":                      "true",
	"group.initial.rebalance.delay.ms":         "0",
	"group.min.session.timeout.ms":             "1000",
	"log.cleaner.dedupe.buffer.size":           "16777216",
	"num.partitions":                           "6",
	"offsets.topic.num.partitions":             "1",
	"offsets.topic.replication.factor":         "1",
	"transaction.state.log.num.partitions":     "1",
	"transaction.state.log.replication.factor": "1",
	"transaction.state.log.min.isr":            "1",
}

// Kafka is a broker that is its own controller, or joins another's cluster. Its methods may be called concurrently.
type Kafka struct {
	config     KafkaConfig
	cluster    string
	addr       string // the clients' listener
	internal   string
	controller string
	dir        string

	mu      sync.Mutex
	process *process
}

// NewKafka formats a data directory, starts a broker on it and waits until it is ready. If it advertises another address,
// clients can connect only once somebody listens there.
func NewKafka(ctx context.Context, config KafkaConfig) (*Kafka, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	dir, err := newDir(config.Dir, "kafka")
	if err != nil {
		return nil, err
	}
	address := func(index int) string { return "127.0.0.1:" + strconv.Itoa(ports[index]) }
	k := &Kafka{config: config, cluster: newClusterID(), addr: address(0), internal: address(1), controller: address(2), dir: dir}
	if config.Beside != nil {
		k.cluster, k.controller = config.Beside.cluster, config.Beside.controller
	}
	if err := k.format(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := k.Start(ctx); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func (k *Kafka) format(ctx context.Context) error {
	if err := k.writeProperties(); err != nil {
		return err
	}
	arguments := []string{"format", "--cluster-id", k.cluster, "--config", k.propertiesPath()}
	if k.config.Beside == nil {
		arguments = append(arguments, "--standalone")
	}
	command := k.java(ctx, "kafka.tools.StorageTool", arguments...)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("format Kafka's directory: %w\n%s", err, output)
	}
	return nil
}

func (k *Kafka) propertiesPath() string { return filepath.Join(k.dir, "server.properties") }
func (k *Kafka) logPath() string        { return filepath.Join(k.dir, "log") }

// DataDir returns the directory of the topics' logs, for tests that damage them while the broker is down.
func (k *Kafka) DataDir() string { return filepath.Join(k.dir, "data") }

func (k *Kafka) writeProperties() error {
	advertised := k.config.Advertised
	if advertised == "" {
		advertised = k.addr
	}
	properties := maps.Clone(kafkaProperties)
	properties["listeners"] = "PLAINTEXT://" + k.addr + ",INTERNAL://" + k.internal
	if k.config.Beside == nil {
		properties["listeners"] += ",CONTROLLER://" + k.controller
	} else {
		properties["process.roles"], properties["node.id"] = "broker", "2"
	}
	properties["advertised.listeners"] = "PLAINTEXT://" + advertised + ",INTERNAL://" + k.internal
	properties["controller.quorum.bootstrap.servers"] = k.controller
	properties["log.dirs"] = k.DataDir()
	maps.Copy(properties, k.config.Properties)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", name, properties[name])
	}
	return os.WriteFile(k.propertiesPath(), []byte(text.String()), 0o644)
}

func (k *Kafka) java(ctx context.Context, class string, args ...string) *exec.Cmd {
	options := []string{"-Xmx512m", "-Djava.awt.headless=true", "-cp", filepath.Join(k.config.ClassPath, "*"), class}
	command := exec.CommandContext(ctx, javaProgram(), append(options, args...)...)
	command.Dir = k.dir
	return command
}

func javaProgram() string {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return filepath.Join(home, "bin", "java")
	}
	return "java"
}

// Start starts the stopped or killed broker on its old port and waits until it serves topics and groups.
func (k *Kafka) Start(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process.running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := k.writeProperties(); err != nil {
		return err
	}
	log, err := os.OpenFile(k.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command := k.java(context.WithoutCancel(ctx), "kafka.Kafka", k.propertiesPath())
	command.Stdout, command.Stderr = log, log
	process, err := start(command, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	k.process = process
	if err := k.awaitReady(ctx); err != nil {
		_ = process.end(syscall.SIGKILL)
		return fmt.Errorf("start Kafka: %w\n%s", err, tail(k.logPath()))
	}
	return nil
}

// awaitReady uses the internal listener, since nobody may be listening at the advertised address yet.
func (k *Kafka) awaitReady(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.internal), kgo.RetryTimeout(time.Second), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	return k.process.await(ctx, func(ctx context.Context) error { return Coordinates(ctx, admin) })
}

// Coordinates returns an error unless the cluster serves consumer groups. For some seconds after its start, a broker responds
// that no coordinator is available, or that it is loading. Reading the offsets of a non-existent group detects both.
func Coordinates(ctx context.Context, admin *kadm.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	const group = "applylens-readiness"
	coordinators := admin.FindGroupCoordinators(ctx, group)
	if err := coordinators.Error(); err != nil {
		return fmt.Errorf("find coordinator: %w", err)
	}
	if _, err := admin.FetchOffsets(ctx, group); err != nil {
		return fmt.Errorf("query coordinator: %w", err)
	}
	return nil
}

// Addr returns host:port where the broker listens for clients. It stays the same across restarts.
func (k *Kafka) Addr() string { return k.addr }

// Advertise changes the advertised address from the next start on. Empty means the listener's own.
func (k *Kafka) Advertise(address string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.config.Advertised = address
}

// PID returns the broker's process id, 0 while it is down.
func (k *Kafka) PID() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.process.pid()
}

// Stop shuts the broker down.
func (k *Kafka) Stop() error { return k.end(syscall.SIGTERM) }

// Kill kills the broker with SIGKILL.
func (k *Kafka) Kill() error { return k.end(syscall.SIGKILL) }

// Pause stops the broker's process with SIGSTOP, and returns when it has stopped: its connections stay open, without
// responses.
func (k *Kafka) Pause() error {
	if err := k.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return awaitStopped(k.PID())
}

// Continue resumes a paused broker.
func (k *Kafka) Continue() error { return k.signal(syscall.SIGCONT) }

// Close kills the broker and removes its data.
func (k *Kafka) Close() error {
	return errors.Join(k.Kill(), os.RemoveAll(k.dir))
}

func (k *Kafka) end(signal syscall.Signal) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.process.end(signal)
}

func (k *Kafka) signal(signal syscall.Signal) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.process.running() {
		return errors.New("the broker is down")
	}
	return k.process.Command.Process.Signal(signal)
}

// newClusterID returns 16 random bytes in Kafka's format: base64 without padding, never with a leading dash, which the command
// line would treat as an option.
func newClusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	id[0] &= 0x7f
	return base64.RawURLEncoding.EncodeToString(id[:])
}
