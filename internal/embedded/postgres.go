package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/applylens/applylens/internal/private"
	"github.com/applylens/applylens/internal/retry"
)

// How long to wait before another child is started, at first and at most.
const (
	firstRelaunch = 100 * time.Millisecond
	lastRelaunch  = 5 * time.Second
)

// postgres supervises a child that runs PostgreSQL, and starts another if it ends by itself.
type postgres struct {
	url string
	bin string

	dir     string
	request request
	log     *slog.Logger

	pid      atomic.Int64 // of the child
	stopping chan struct{}
	killing  chan struct{}
	done     chan struct{} // closed when the last child has ended
}

func startPostgres(ctx context.Context, dir, cache string, state *state, log *slog.Logger) (*postgres, error) {
	p := &postgres{
		dir:      filepath.Join(dir, "postgres"),
		log:      log,
		stopping: make(chan struct{}),
		killing:  make(chan struct{}),
		done:     make(chan struct{}),
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	p.request = request{Dir: p.dir, Cache: cache, Port: state.PostgresPort, Password: state.PostgresPassword}
	if !isProgram(filepath.Join(binariesPath(cache), "bin", "postgres")) {
		log.Info("downloading PostgreSQL once", "into", cache)
	}
	child, answer, err := p.launch(ctx)
	if err != nil {
		return nil, err
	}
	// The child may have changed a port that was in use. From now on the port is fixed, since connection pools use it.
	state.PostgresPort, p.request.Port, p.request.Settled = answer.Port, answer.Port, true
	p.url, p.bin = databaseURL(answer.Port, state.PostgresPassword), answer.Bin
	go p.keep(child)
	return p, nil
}

func databaseURL(port int, password string) string {
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, password), Host: fmt.Sprintf("127.0.0.1:%d", port),
		Path: "/" + databaseName, RawQuery: "sslmode=disable",
	}
	return address.String()
}

// child is a running child process.
type child struct {
	command *exec.Cmd
	stdin   io.Closer // closing it tells the child to stop
	ended   chan error
}

// launch starts a child with the first identity that works, and waits for its answer.
func (p *postgres) launch(ctx context.Context) (*child, answer, error) {
	identities, err := identities(p.dir, p.request.Cache)
	if err != nil {
		return nil, answer{}, err
	}
	var refusals []error
	for _, identity := range identities {
		if err := identity.own(p.dir, filepath.Join(p.request.Cache, "postgres")); err != nil {
			refusals = append(refusals, err)
			continue
		}
		child, output, err := p.execute(identity)
		if err != nil {
			refusals = append(refusals, fmt.Errorf("as %s: %w", identity.name, err))
			continue
		}
		answer, err := p.await(ctx, child, output)
		return child, answer, err
	}
	return nil, answer{}, fmt.Errorf("start PostgreSQL, which refuses to run as root: %w", errors.Join(refusals...))
}

func (p *postgres) execute(identity identity) (*child, io.Reader, error) {
	log, err := private.Open(filepath.Join(p.dir, "log"), os.O_APPEND|os.O_WRONLY)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	command := exec.Command(ownProgram(), childCommand)
	command.Env = append(os.Environ(), "HOME="+p.dir, "TMPDIR="+p.dir)
	command.Dir = p.dir
	command.Stderr = log
	command.SysProcAttr = identity.attributes()
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := command.Start(); err != nil {
		return nil, nil, err
	}
	c := &child{command: command, stdin: stdin, ended: make(chan error, 1)}
	if err := json.NewEncoder(stdin).Encode(p.request); err != nil {
		return nil, nil, errors.Join(err, stdin.Close(), command.Wait())
	}
	p.pid.Store(int64(command.Process.Pid))
	return c, stdout, nil
}

// await reads the child's answer. If ctx ends first, it kills the child.
func (p *postgres) await(ctx context.Context, c *child, output io.Reader) (answer, error) {
	answered := make(chan error, 1)
	var result answer
	go func() {
		answered <- json.NewDecoder(output).Decode(&result)
		c.ended <- c.command.Wait()
	}()
	var err error
	select {
	case err = <-answered:
	case <-ctx.Done():
		_ = c.stdin.Close()
		<-c.ended
		return answer{}, fmt.Errorf("start PostgreSQL: %w", ctx.Err())
	}
	if err == nil && result.Error == "" {
		return result, nil
	}
	_ = c.stdin.Close()
	ended := <-c.ended
	if err != nil {
		return answer{}, fmt.Errorf("start PostgreSQL: no answer: %w (see %s)", errors.Join(err, ended), filepath.Join(p.dir, "log"))
	}
	return answer{}, errors.New(result.Error)
}

// keep waits for the child and starts another if it ends by itself, until stop is called.
func (p *postgres) keep(c *child) {
	defer close(p.done)
	for {
		select {
		case err := <-c.ended:
			p.log.Error("embedded PostgreSQL ended, restarting it", append(advice(p.dir, LeastSpace), "error", err)...)
		case <-p.stopping:
			p.finish(c)
			return
		}
		if c = p.relaunch(); c == nil {
			return
		}
	}
}

// relaunch starts another child as soon as that succeeds. It returns nil after stop was called.
func (p *postgres) relaunch() (c *child) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-p.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := retry.Until(ctx, firstRelaunch, lastRelaunch, func(attempt int) (err error) {
		c, _, err = p.launch(ctx)
		if err != nil && ctx.Err() == nil {
			p.log.Error("embedded PostgreSQL does not start", append(advice(p.dir, LeastSpace), "error", err, "attempt", attempt+1)...)
		}
		return err
	})
	if err != nil {
		return nil
	}
	return c
}

func (p *postgres) finish(c *child) {
	_ = c.stdin.Close()
	select {
	case <-c.ended:
	case <-p.killing:
		_ = c.command.Process.Kill()
		<-c.ended
	}
}

func (p *postgres) stop(ctx context.Context) error {
	close(p.stopping)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		close(p.killing)
		<-p.done
		return fmt.Errorf("stop embedded PostgreSQL: %w", ctx.Err())
	}
}
