package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/applylens/applylens/internal/retry"
)

// ElasticsearchConfig has the settings of an Elasticsearch node.
type ElasticsearchConfig struct {
	Home string // the unpacked distribution
	Dir  string // parent of the data directory. Default: the system's temporary directory
}

// Elasticsearch is a cluster of one node without security. Its methods may be called concurrently.
type Elasticsearch struct {
	config ElasticsearchConfig
	http   int
	peers  int
	dir    string

	mu      sync.Mutex
	process *process
}

// NewElasticsearch starts a node with an empty data directory and waits until it is ready.
func NewElasticsearch(ctx context.Context, config ElasticsearchConfig) (*Elasticsearch, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	dir, err := newDir(config.Dir, "elasticsearch")
	if err != nil {
		return nil, err
	}
	e := &Elasticsearch{config: config, http: ports[0], peers: ports[1], dir: dir}
	if err := e.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := e.Start(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// prepare creates a separate configuration directory, since the server writes to it, and changes the owner of all files to the
// user that runs the node: it refuses to run as root.
func (e *Elasticsearch) prepare() error {
	if err := os.CopyFS(e.configuration(), os.DirFS(filepath.Join(e.config.Home, "config"))); err != nil {
		return err
	}
	if err := os.Mkdir(e.temporary(), 0o755); err != nil {
		return err
	}
	settings := fmt.Sprintf("discovery.type: single-node\nnetwork.host: 127.0.0.1\nhttp.port: %d\ntransport.port: %d\n"+
		"path.data: %s\npath.logs: %s\nxpack.security.enabled: false\ncluster.routing.allocation.disk.threshold_enabled: false\n",
		e.http, e.peers, filepath.Join(e.dir, "data"), filepath.Join(e.dir, "logs"))
	if err := os.WriteFile(filepath.Join(e.configuration(), "elasticsearch.yml"), []byte(settings), 0o644); err != nil {
		return err
	}
	credential, err := unprivileged()
	if err != nil || credential == nil {
		return err
	}
	return filepath.WalkDir(e.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, int(credential.Uid), int(credential.Gid)))
	})
}

func (e *Elasticsearch) configuration() string { return filepath.Join(e.dir, "config") }
func (e *Elasticsearch) temporary() string     { return filepath.Join(e.dir, "tmp") }
func (e *Elasticsearch) logPath() string       { return filepath.Join(e.dir, "log") }

// Start starts the stopped or killed node on its old port and waits until it serves its indices.
func (e *Elasticsearch) Start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.process.running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	command, err := e.command()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(e.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	process, err := start(command, syscall.SIGTERM)
	if err != nil {
		return fmt.Errorf("start Elasticsearch: %w", err)
	}
	e.process = process
	if err := process.await(ctx, e.healthy); err != nil {
		_ = e.signalAll(syscall.SIGKILL)
		return fmt.Errorf("start Elasticsearch: %w\n%s", err, tail(e.logPath()))
	}
	return nil
}

func (e *Elasticsearch) command() (*exec.Cmd, error) {
	credential, err := unprivileged()
	if err != nil {
		return nil, err
	}
	java, err := exec.LookPath(javaProgram())
	if err != nil {
		return nil, err
	}
	java, err = filepath.EvalSymlinks(java)
	if err != nil {
		return nil, err
	}
	command := exec.Command(filepath.Join(e.config.Home, "bin", "elasticsearch"))
	command.Dir = e.dir
	command.Env = append(os.Environ(), "ES_JAVA_HOME="+filepath.Dir(filepath.Dir(java)), "ES_JAVA_OPTS=-Xms512m -Xmx512m",
		"ES_PATH_CONF="+e.configuration(), "ES_TMPDIR="+e.temporary(), "HOME="+e.dir)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	return command, nil
}

func (e *Elasticsearch) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL()+"/_cluster/health?wait_for_status=yellow&timeout=1s", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("health: %s", response.Status)
	}
	return nil
}

// URL returns the node's address. It stays the same across restarts.
func (e *Elasticsearch) URL() string { return "http://127.0.0.1:" + strconv.Itoa(e.http) }

// Stop shuts the node down.
func (e *Elasticsearch) Stop() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.process.end(syscall.SIGTERM)
}

// Kill kills the node with SIGKILL.
func (e *Elasticsearch) Kill() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.process.running() {
		return nil
	}
	if err := e.signalAll(syscall.SIGKILL); err != nil {
		return err
	}
	<-e.process.Done
	return e.awaitGroupGone()
}

// awaitGroupGone waits for the server process. It is a child of its launcher and may write for a moment after that has ended.
func (e *Elasticsearch) awaitGroupGone() error {
	return retry.Within(context.Background(), stopTimeout, 10*time.Millisecond, 10*time.Millisecond, func(int) error {
		if syscall.Kill(-e.process.Command.Process.Pid, 0) == nil {
			return errors.New("Elasticsearch was killed but is still running")
		}
		return nil
	})
}

// Pause stops the node with SIGSTOP, and returns when it has stopped: its connections stay open, without responses.
func (e *Elasticsearch) Pause() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.signalAll(syscall.SIGSTOP); err != nil {
		return err
	}
	return awaitStopped(e.process.Command.Process.Pid)
}

// Continue resumes a paused node.
func (e *Elasticsearch) Continue() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.signalAll(syscall.SIGCONT)
}

// signalAll signals the launcher and the server that it started, which share a process group.
func (e *Elasticsearch) signalAll(signal syscall.Signal) error {
	if !e.process.running() {
		return errors.New("the node is down")
	}
	return syscall.Kill(-e.process.Command.Process.Pid, signal)
}

// Close kills the node and removes its data.
func (e *Elasticsearch) Close() error { return errors.Join(e.Kill(), os.RemoveAll(e.dir)) }
