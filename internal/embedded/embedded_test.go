package embedded

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	brokers "github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

const parentVariable = "EMBEDDED_TEST_PARENT"

func TestMain(m *testing.M) {
	Child()
	if dir := os.Getenv(parentVariable); dir != "" {
		runParent(dir)
	}
	os.Exit(m.Run())
}

// runParent starts servers, reports that, and waits to be killed.
func runParent(dir string) {
	if _, err := Start(context.Background(), dir, slog.Default()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	select {}
}

// newDir returns a directory for servers. Everybody can enter an open one, so that root runs PostgreSQL as nobody and not in a
// user namespace.
func newDir(t *testing.T, open bool) string {
	t.Helper()
	if !open {
		return filepath.Join(t.TempDir(), "data")
	}
	dir, err := os.MkdirTemp("", "embedded-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustStart(t *testing.T, dir string) *Servers {
	t.Helper()
	servers, err := Start(t.Context(), dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "postgres", "log"))
		t.Fatalf("start: %v\n%s", err, log)
	}
	t.Cleanup(func() {
		if servers.lock != nil {
			mustStop(t, servers)
		}
	})
	return servers
}

func mustStop(t *testing.T, servers *Servers) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := servers.Stop(ctx); err != nil {
		t.Fatalf("stop: %v", err)
	}
	servers.lock = nil
}

func execute(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func count(ctx context.Context, url string) (rows int, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.Background())
	return rows, conn.QueryRow(ctx, "SELECT count(*) FROM kept").Scan(&rows)
}

// texts returns the only column of a query's rows.
func texts(t *testing.T, url, query string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, _ := conn.Query(t.Context(), query)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const patience, tick = 30 * time.Second, 20 * time.Millisecond

func TestDataIsKept(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprintf("open %t", open), func(t *testing.T) {
			dir := newDir(t, open)
			first := mustStart(t, dir)
			execute(t, first.DatabaseURL, "CREATE TABLE kept AS SELECT 'ä' COLLATE \"C.utf8\" AS letter")
			cluster := produce(t, first.Kafka)
			mustStop(t, first)

			began := time.Now()
			second := mustStart(t, dir)
			t.Logf("second start took %s", time.Since(began))
			if first.DatabaseURL != second.DatabaseURL || !reflect.DeepEqual(first.Kafka, second.Kafka) {
				t.Errorf("addresses changed from %v to %v", first, second)
			}
			if rows, err := count(t.Context(), second.DatabaseURL); err != nil || rows != 1 {
				t.Errorf("%d rows (%v), want 1", rows, err)
			}
			if again := produce(t, second.Kafka); again != cluster {
				t.Errorf("cluster id changed from %s to %s", cluster, again)
			}
			ends, err := kadm.NewClient(connect(t, second.Kafka)).ListEndOffsets(t.Context(), "kept")
			if err != nil {
				t.Fatal(err)
			}
			if end, _ := ends.Lookup("kept", 0); end.Offset != 2 {
				t.Errorf("end offset %d, want 2", end.Offset)
			}
		})
	}
}

// connect returns a client of the broker.
func connect(t *testing.T, settings config.Kafka) *kgo.Client {
	t.Helper()
	conn, err := brokers.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	client, err := conn.Reader()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// produce writes a record and returns the cluster's id.
func produce(t *testing.T, settings config.Kafka) string {
	t.Helper()
	client := connect(t, settings)
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopics(t.Context(), 1, 1, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "kept", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	metadata, err := admin.BrokerMetadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return metadata.Cluster
}

func TestRunningServers(t *testing.T) {
	dir := newDir(t, true)
	servers := mustStart(t, dir)

	t.Run("password is kept and required", func(t *testing.T) {
		info, err := os.Stat(statePath(dir))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the state file is %v (%v), want 0600", info.Mode(), err)
		}
		wrong := strings.Replace(servers.DatabaseURL, ":"+servers.postgres.request.Password+"@", ":wrong@", 1)
		if conn, err := pgx.Connect(t.Context(), wrong); err == nil {
			conn.Close(t.Context())
			t.Error("a wrong password is accepted")
		}
	})
	t.Run("nobody is admitted without the password", func(t *testing.T) {
		wrong := servers.Kafka
		wrong.KafkaSASLPassword = "wrong"
		for who, settings := range map[string]config.Kafka{"nobody": {KafkaBrokers: wrong.KafkaBrokers}, "a wrong password": wrong} {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if found, err := kadm.NewClient(connect(t, settings)).BrokerMetadata(ctx); err == nil {
				t.Errorf("the broker admits %s and shows cluster %s", who, found.Cluster)
			}
		}
		rules := texts(t, servers.DatabaseURL, "SELECT concat_ws(' ', type, address, auth_method) FROM pg_hba_file_rules")
		if want := []string{"host 127.0.0.1 scram-sha-256"}; !slices.Equal(rules, want) {
			t.Errorf("PostgreSQL's rules are %q, want %q", rules, want)
		}
		if stored := texts(t, servers.DatabaseURL, "SELECT left(rolpassword, 13) FROM pg_authid WHERE rolcanlogin"); !slices.Equal(stored, []string{"SCRAM-SHA-256"}) {
			t.Errorf("passwords are stored as %q", stored)
		}
	})
	t.Run("strangers do not end the broker", func(t *testing.T) {
		for name, request := range map[string]string{
			"an unknown kind":        "\x00\x00\x00\x0a\x7f\xff\x00\x00\x00\x00\x00\x01\xff\xff",
			"no request":             "\x00\x00\x00\x01\x00\x00\x00\x00",
			"four gigabytes":         "\xff\xff\xff\xff\x00\x12\x00\x00",
			"65 KiB before the user": "\x00\x01\x04\x00\x00\x12\x00\x00",
		} {
			conn, err := net.Dial("tcp", servers.Kafka.KafkaBrokers[0])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: the connection stays open: %d bytes, %v", name, n, err)
			}
		}
		produce(t, servers.Kafka)
	})
	t.Run("a handshake tells the mechanisms", func(t *testing.T) {
		conn, err := net.Dial("tcp", servers.Kafka.KafkaBrokers[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		request := kmsg.NewPtrSASLHandshakeRequest()
		request.Version, request.Mechanism = 1, "SCRAM-SHA-256"
		if _, err := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, request, 77)); err != nil {
			t.Fatal(err)
		}
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
		response := kmsg.NewPtrSASLHandshakeResponse()
		response.Version = 1
		if err := response.ReadFrom(answer[4:]); err != nil || answer[3] != 77 || response.ErrorCode != 0 || !slices.Equal(response.SupportedMechanisms, []string{request.Mechanism}) {
			t.Errorf("%v %q: %+v, %v", answer[:4], answer[4:], response, err)
		}
	})
	t.Run("second start is refused", func(t *testing.T) {
		_, err := Start(t.Context(), dir, slog.Default())
		if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
			t.Errorf("second start: %v; want ErrInUse that names process %d", err, os.Getpid())
		}
	})
	t.Run("killed child is replaced", func(t *testing.T) {
		execute(t, servers.DatabaseURL, "CREATE TABLE kept AS SELECT 1")
		for range 2 {
			pid := servers.postgres.pid.Load()
			if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, patience, tick, "another child has the data", func() error {
				rows, err := count(t.Context(), servers.DatabaseURL)
				if now := servers.postgres.pid.Load(); err == nil && (now == pid || rows != 1) {
					err = fmt.Errorf("process %d has %d rows", now, rows)
				}
				return err
			})
		}
	})
}

func TestKilledParentLeavesNothing(t *testing.T) {
	dir := newDir(t, true)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), parentVariable+"="+dir)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("parent says %q, %v", line, err)
	}
	pidPath := filepath.Join(dir, "postgres", "data", "postmaster.pid")
	text, err := os.ReadFile(pidPath)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	testenv.Eventually(t, patience, tick, "PostgreSQL has ended", func() error {
		if syscall.Kill(pid, 0) == nil {
			return fmt.Errorf("process %d lives", pid)
		}
		return nil
	})
	if _, err := os.Stat(pidPath); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("PostgreSQL did not shut down properly: postmaster.pid still exists (%v)", err)
	}
	mustStart(t, dir)
}

func TestLeftovers(t *testing.T) {
	dir := newDir(t, true)
	servers := mustStart(t, dir)
	execute(t, servers.DatabaseURL, "CREATE TABLE kept AS SELECT 1")
	mustStop(t, servers)

	t.Run("process id of another program", func(t *testing.T) {
		path := filepath.Join(dir, "postgres", "data", "postmaster.pid")
		if err := os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, dir)
	})
	t.Run("running server", func(t *testing.T) {
		servers := mustStart(t, dir)
		child := int(servers.postgres.pid.Load())
		// A stopped child cannot stop its server when its input ends, and Stop then kills it.
		if err := syscall.Kill(child, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := servers.Stop(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("stop: %v", err)
		}
		servers.lock = nil
		check(t, dir)
	})
	t.Run("port taken", func(t *testing.T) {
		address := servers.Kafka.KafkaBrokers[0]
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		again := mustStart(t, dir)
		if again.Kafka.KafkaBrokers[0] == address {
			t.Errorf("both listen on %s", address)
		}
		mustStop(t, again)
	})
	t.Run("other major version", func(t *testing.T) {
		path := filepath.Join(dir, "postgres", "data", "PG_VERSION")
		if err := os.WriteFile(path, []byte("9\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), dir, slog.Default())
		if err == nil || !strings.Contains(err.Error(), "was created by PostgreSQL 9") {
			t.Errorf("start: %v; want an error that names the version", err)
		}
	})
	t.Run("incomplete initialisation", func(t *testing.T) {
		if err := os.Remove(filepath.Join(dir, "postgres", "initialised")); err != nil {
			t.Fatal(err)
		}
		mustStop(t, mustStart(t, dir))
	})
}

// TestDirectoryWithoutAPassword starts on a directory of a broker that admitted everybody, which kept an empty list of users.
func TestDirectoryWithoutAPassword(t *testing.T) {
	dir := newDir(t, true)
	port, err := keepOrPickPort(0)
	if err != nil {
		t.Fatal(err)
	}
	open, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.ClusterID("kept"), kfake.DataDir(filepath.Join(dir, "kafka")), kfake.SyncWrites())
	if err != nil {
		t.Fatal(err)
	}
	produce(t, config.Kafka{KafkaBrokers: open.ListenAddrs()})
	open.Close()
	if err := (&state{ClusterID: "kept", KafkaPort: port, PostgresPassword: "old"}).save(dir); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second start finds the password of the first
		servers := mustStart(t, dir)
		client := connect(t, servers.Kafka)
		client.AddConsumePartitions(map[string]map[int32]kgo.Offset{"kept": {0: kgo.NewOffset().AtStart()}})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		fetched := client.PollFetches(ctx)
		cancel()
		if fetched.Err() != nil || fetched.NumRecords() != 1 {
			t.Errorf("%d records (%v), want the 1 from before there was a password", fetched.NumRecords(), fetched.Err())
		}
		mustStop(t, servers)
	}
}

func check(t *testing.T, dir string) {
	t.Helper()
	servers := mustStart(t, dir)
	if rows, err := count(t.Context(), servers.DatabaseURL); err != nil || rows != 1 {
		t.Errorf("%d rows (%v), want 1", rows, err)
	}
	mustStop(t, servers)
}

func TestWithoutNetwork(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	dir, cache := newDir(t, true), newDir(t, true)
	servers, err := startWith(t.Context(), dir, cache, slog.New(slog.DiscardHandler))
	system := systemBinaries("")
	switch {
	case system != "" && err != nil:
		t.Fatalf("start: %v; want the system's PostgreSQL to be used", err)
	case system != "":
		if servers.PostgresBin != system {
			t.Errorf("programs of %s are used, want the system's %s", servers.PostgresBin, system)
		}
		mustStop(t, servers)
	case err == nil || !strings.Contains(err.Error(), "DATABASE_URL"):
		t.Errorf("start: %v; want an error that says what to do", err)
	}
}

func TestDirectoriesThatOthersCanChangeAreRefused(t *testing.T) {
	dir, cache := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "cache")
	f := func(want string) {
		t.Helper()
		servers, err := startWith(t.Context(), dir, cache, slog.New(slog.DiscardHandler))
		if err == nil {
			mustStop(t, servers)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	prepare := func(path string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(path, 0o700), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	prepare(dir, 0o777)
	prepare(cache, 0o755)
	f("run: chmod go-w " + dir)
	prepare(dir, 0o700)
	prepare(cache, 0o777)
	f("run: chmod go-w " + cache)
}

// Other users may have put links where we write, before the directory was made safe.
func TestLinksInTheDataDirectoryAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lock", "servers.json"} {
		if err := os.Symlink(victim, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if file, err := lockDir(dir); err == nil {
		file.Close()
		t.Error("the lock was taken through a link")
	}
	if err := (&state{PostgresPassword: "secret"}).save(dir); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "kept" {
		t.Errorf("the link's target is now %q, %v", text, err)
	}
}
