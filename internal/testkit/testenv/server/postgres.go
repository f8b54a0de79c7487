package server

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/retry"
)

// PostgresConfig has the settings of a PostgreSQL server.
type PostgresConfig struct {
	BinDir   string            // directory of initdb and postgres
	Dir      string            // parent of the data directory. Default: the system's temporary directory
	Settings map[string]string // added to postgresSettings, or replacing them
	Faketime string            // libfaketime's shared library, which SetClock needs. Default: the machine's clock
}

// postgresSettings are for tests: a crash of the server loses nothing, but a crash of the machine may.
var postgresSettings = map[string]string{
	"listen_addresses":        "127.0.0.1",
	"unix_socket_directories": "",
	"max_connections":         "300",
	"shared_buffers":          "256MB",
	"max_wal_size":            "2GB",
	"fsync":                   "off",
	"full_page_writes":        "off",
	"synchronous_commit":      "on",
	"log_min_messages":        "warning",
	"timezone":                "UTC",
}

// Postgres is a server with a data directory of its own. Its methods may be called concurrently.
type Postgres struct {
	config PostgresConfig
	port   int
	dir    string

	mu      sync.Mutex
	process *process
	behind  time.Duration // of the server's clock, from the next start on
}

// NewPostgres initialises a data directory, starts a server on it and waits until it is ready.
func NewPostgres(ctx context.Context, config PostgresConfig) (*Postgres, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	dir, err := newDir(config.Dir, "postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{config: config, port: ports[0], dir: dir}
	if err := p.initialise(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Postgres) initialise(ctx context.Context) error {
	credential, err := unprivileged()
	if err != nil {
		return err
	}
	if credential != nil {
		if err := os.Chown(p.dir, int(credential.Uid), int(credential.Gid)); err != nil {
			return err
		}
	}
	command := p.command(ctx, credential, "initdb", "--pgdata", p.data(), "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--lc-collate=C", "--lc-ctype=C.UTF-8", "--lc-messages=C", "--no-sync", "--no-instructions")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}
	return nil
}

func (p *Postgres) data() string    { return filepath.Join(p.dir, "data") }
func (p *Postgres) logPath() string { return filepath.Join(p.dir, "log") }

// SetClock sets how far the server's clock is behind the machine's, in whole seconds, from its next start on. It cannot be ahead:
// where libfaketime waits for the kernel, PostgreSQL's timer would see the true time and take every time-out for one in the future.
// Nor can it change while the server runs: libfaketime would read a file whenever the time is asked for, which the handler of
// PostgreSQL's timer does, and a session that the signal meets in libc's allocator would hang for ever.
func (p *Postgres) SetClock(behind time.Duration) error {
	if behind < 0 {
		return fmt.Errorf("set PostgreSQL's clock: %s behind", behind)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behind = behind
	return nil
}

func (p *Postgres) command(ctx context.Context, credential *syscall.Credential, name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, filepath.Join(p.config.BinDir, name), args...)
	command.Dir = p.dir
	command.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	return command
}

// Start starts the stopped or killed server on its old port and waits until it responds.
func (p *Postgres) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process.running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := p.startRetrying(ctx); err != nil {
		return fmt.Errorf("start PostgreSQL: %w\n%s", err, tail(p.logPath()))
	}
	return nil
}

// startRetrying retries for some seconds: a new postmaster refuses to start until the sessions of a killed one have released
// its shared memory.
func (p *Postgres) startRetrying(ctx context.Context) error {
	return retry.Within(ctx, 5*time.Second, 50*time.Millisecond, 50*time.Millisecond, func(int) error {
		err := p.startOnce(ctx)
		if errors.Is(err, errEnded) {
			return err
		}
		return retry.Stop(err)
	})
}

func (p *Postgres) startOnce(ctx context.Context) error {
	credential, err := unprivileged()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command := p.command(context.WithoutCancel(ctx), credential, "postgres", p.arguments()...)
	command.Stdout, command.Stderr = log, log
	if p.behind > 0 && p.config.Faketime != "" {
		command.Env = append(os.Environ(), "LD_PRELOAD="+p.config.Faketime, fmt.Sprintf("FAKETIME=-%d", int(p.behind.Seconds())),
			"FAKETIME_CACHE_DURATION=1000000", "FAKETIME_DONT_RESET=1", "FAKETIME_DONT_FAKE_MONOTONIC=1")
	}
	// SIGQUIT makes the postmaster end all its children at once; after SIGKILL they would survive for a moment.
	process, err := start(command, syscall.SIGQUIT)
	if err != nil {
		return err
	}
	p.process = process
	if err := process.await(ctx, p.ping); err != nil {
		return errors.Join(err, process.end(syscall.SIGQUIT))
	}
	return nil
}

func (p *Postgres) arguments() []string {
	arguments := []string{"-D", p.data(), "-c", "port=" + strconv.Itoa(p.port)}
	settings := map[string]string{}
	for _, source := range []map[string]string{postgresSettings, p.config.Settings} {
		for name, value := range source {
			settings[name] = value
		}
	}
	for name, value := range settings {
		arguments = append(arguments, "-c", name+"="+value)
	}
	return arguments
}

func (p *Postgres) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL())
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// URL returns the superuser's URL of database postgres. It stays the same across restarts.
func (p *Postgres) URL() string {
	address := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: "127.0.0.1:" + strconv.Itoa(p.port), Path: "/postgres",
		RawQuery: "sslmode=disable",
	}
	return address.String()
}

// PID returns the postmaster's process id, 0 while it is down.
func (p *Postgres) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process.pid()
}

// Stop stops the server: immediate aborts all sessions without a checkpoint, like a crash; otherwise it ends them and writes a
// checkpoint.
func (p *Postgres) Stop(immediate bool) error {
	if immediate {
		return p.end(syscall.SIGQUIT)
	}
	return p.end(syscall.SIGINT)
}

// Kill kills the postmaster with SIGKILL. Its sessions then end by themselves.
func (p *Postgres) Kill() error { return p.end(syscall.SIGKILL) }

// Restart stops the server like Stop and starts it again.
func (p *Postgres) Restart(ctx context.Context, immediate bool) error {
	if err := p.Stop(immediate); err != nil {
		return err
	}
	return p.Start(ctx)
}

// Close ends the server and removes its data.
func (p *Postgres) Close() error {
	return errors.Join(p.Stop(true), os.RemoveAll(p.dir))
}

func (p *Postgres) end(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process.end(signal)
}

// unprivileged returns the user to run PostgreSQL as, which refuses to run as root; nil means the current user. The user must
// have a name, since initdb looks it up.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	names := []string{"postgres", "nobody"}
	index := slices.IndexFunc(names, func(name string) bool { _, err := user.Lookup(name); return err == nil })
	if index < 0 {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root, and there is no user among %v to run it as", names)
	}
	account, err := user.Lookup(names[index])
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
