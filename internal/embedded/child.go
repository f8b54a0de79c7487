package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/subprocess"
)

const (
	childCommand = "embedded-postgres"
	superuser    = "postgres"
	databaseName = "applylens"
)

const (
	startPatience = 10 * time.Second       // how long a server that does not start is started again
	startEvery    = 100 * time.Millisecond // how often at most
	endPatience   = 10 * time.Second       // how long a leftover server may take to end, by each signal
	lookEvery     = 20 * time.Millisecond  // how often at most a server is looked at that starts or ends
)

// errRunning tells that a leftover server has not ended yet.
var errRunning = errors.New("the leftover PostgreSQL server is still running")

// request is the first line of a child's input. The end of its input tells it to stop.
type request struct {
	Dir      string `json:"dir"`
	Cache    string `json:"cache"`
	Port     int    `json:"port"`    // 0 for the first start
	Settled  bool   `json:"settled"` // the port must not change
	Password string `json:"password"`
}

// answer is the only line of a child's output.
type answer struct {
	Error string `json:"error"`
	Port  int    `json:"port"`
	Bin   string `json:"bin"` // directory of PostgreSQL's programs
}

// Child runs PostgreSQL and does not return, if the process was started for that. main calls it first.
func Child() {
	if len(os.Args) != 2 || os.Args[1] != childCommand {
		return
	}
	// Ctrl-C in a terminal and SIGTERM from a service manager are for the parent, which stops the child after draining.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := runChild(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runChild(input io.Reader, output io.Writer) error {
	var r request
	decoder := json.NewDecoder(input)
	if err := decoder.Decode(&r); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	starting := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, input)
		cancel()
		abandon(starting, r)
	}()
	m, err := r.start(ctx)
	close(starting)
	if err != nil {
		return errors.Join(err, json.NewEncoder(output).Encode(answer{Error: err.Error()}))
	}
	if err := json.NewEncoder(output).Encode(answer{Port: m.port, Bin: m.bin}); err != nil {
		return errors.Join(err, m.stop())
	}
	select {
	case <-ctx.Done():
		return m.stop()
	case <-m.Done:
		return fmt.Errorf("PostgreSQL ended: %w", m.Err())
	}
}

// abandon exits if the parent ends during the download, which cannot be interrupted otherwise.
func abandon(starting <-chan struct{}, r request) {
	select {
	case <-starting:
	case <-time.After(time.Second):
		_ = errors.Join(endLeftover(r.scratch()), endLeftover(r.data()))
		os.Exit(1)
	}
}

func (r request) data() string    { return filepath.Join(r.Dir, "data") }
func (r request) scratch() string { return filepath.Join(r.Dir, "scratch") }
func (r request) marker() string  { return filepath.Join(r.Dir, "initialised") }

// admission is the file that tells PostgreSQL whom to admit and how. The library's own lets a client send its password as it
// is, also to another program that took the port while the server was stopped.
func (r request) admission() string { return filepath.Join(r.Dir, "pg_hba.conf") }

// start starts the server, whatever the last run left: nothing, an incomplete initialisation, a server of a killed child, or
// a complete data directory.
func (r request) start(ctx context.Context) (*postmaster, error) {
	if err := errors.Join(endLeftover(r.scratch()), endLeftover(r.data())); err != nil {
		return nil, err
	}
	if !r.Settled {
		port, err := keepOrPickPort(r.Port)
		if err != nil {
			return nil, err
		}
		r.Port = port
	}
	bin, err := r.binaries()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(r.marker()); errors.Is(err, os.ErrNotExist) {
		if err := r.initialise(bin); err != nil {
			return nil, err
		}
	}
	return r.run(ctx, bin)
}

// postmaster is PostgreSQL's main process.
type postmaster struct {
	*subprocess.Process
	port int
	bin  string
}

// settings keep the server small. Commits are on disk before they are acknowledged.
var settings = map[string]string{
	"listen_addresses":        "127.0.0.1",
	"unix_socket_directories": "",
	"max_connections":         "100",
	"shared_buffers":          "64MB",
	"wal_level":               "minimal",
	"max_wal_senders":         "0",
	"max_wal_size":            "512MB",
	"synchronous_commit":      "on",
	"log_min_messages":        "warning",
	"timezone":                "UTC",
	"log_timezone":            "UTC",
}

// run starts the postmaster. The sessions of a killed postmaster take a moment to release its shared memory, so run retries
// for some seconds.
func (r request) run(ctx context.Context, bin string) (*postmaster, error) {
	var m *postmaster
	err := retry.Within(ctx, startPatience, startEvery, startEvery, func(int) (err error) {
		if m, err = r.runOnce(bin); err != nil {
			return retry.Stop(err)
		}
		if err = m.await(ctx, databaseURL(r.Port, r.Password)); err != nil {
			err = errors.Join(err, m.stop())
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w (see %s)", err, filepath.Join(r.Dir, "log"))
	}
	return m, nil
}

func (r request) runOnce(bin string) (*postmaster, error) {
	if err := os.WriteFile(r.admission(), []byte("host all all 127.0.0.1/32 scram-sha-256\n"), 0o600); err != nil {
		return nil, err
	}
	arguments := []string{"-D", r.data(), "-c", "port=" + strconv.Itoa(r.Port), "-c", "hba_file=" + r.admission()}
	for name, value := range settings {
		arguments = append(arguments, "-c", name+"="+value)
	}
	command := exec.Command(filepath.Join(bin, "postgres"), arguments...)
	command.Dir = r.Dir
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	process, err := subprocess.Start(command, syscall.SIGINT)
	return &postmaster{Process: process, port: r.Port, bin: bin}, err
}

// await waits until the server responds, however long crash recovery takes.
func (m *postmaster) await(ctx context.Context, address string) error {
	return retry.Until(ctx, lookEvery, lookEvery, func(int) error {
		conn, err := pgx.Connect(ctx, address)
		if err == nil {
			return retry.Stop(conn.Close(ctx))
		}
		select {
		case <-m.Done:
			return retry.Stop(fmt.Errorf("it ended: %w", m.Err()))
		default:
			return err
		}
	})
}

// stop does a fast shutdown. A server that takes too long is stopped immediately, without a checkpoint.
func (m *postmaster) stop() error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		_ = m.Command.Process.Signal(sig)
		select {
		case <-m.Done:
			return nil
		case <-time.After(30 * time.Second):
		}
	}
	return errors.New("PostgreSQL does not stop")
}

// endLeftover stops a server that a killed child left running on the directory. It removes the pid file of a server that was
// killed too, since another program may have that process id by now.
func endLeftover(data string) error {
	path := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a running server: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return os.Remove(path)
	}
	running, err := serves(pid, data)
	if err != nil {
		return nil // another user's process: PostgreSQL recognises that it is not its own
	}
	if !running {
		return os.Remove(path)
	}
	return end(pid, data)
}

// ended tells whether a server ends within endPatience.
func ended(pid int, data string) bool {
	err := retry.Within(context.Background(), endPatience, lookEvery, lookEvery, func(int) error {
		if running, _ := serves(pid, data); running {
			return errRunning
		}
		return nil
	})
	return err == nil
}

func end(pid int, data string) error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the leftover PostgreSQL server (process %d): %w", pid, err)
		}
		if ended(pid, data) {
			return nil
		}
	}
	return fmt.Errorf("the leftover PostgreSQL server (process %d) does not stop", pid)
}
