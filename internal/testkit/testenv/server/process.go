package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/subprocess"
)

const stopTimeout = 20 * time.Second

// process is a server, which the kernel ends together with us.
type process struct{ *subprocess.Process }

// start starts the command.
func start(command *exec.Cmd, deathSignal syscall.Signal) (*process, error) {
	p, err := subprocess.Start(command, deathSignal)
	return &process{p}, err
}

func (p *process) running() bool { return p != nil && p.Running() }

// pid is the process's id, 0 when it does not run.
func (p *process) pid() int {
	if !p.running() {
		return 0
	}
	return p.Command.Process.Pid
}

// end sends the signal and waits until the process has ended. After a time-out it kills the process.
func (p *process) end(signal syscall.Signal) error {
	if !p.running() {
		return nil
	}
	if err := p.Command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s: %w", signal, err)
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.Done:
		return nil
	case <-timeout.C:
		_ = p.Command.Process.Kill()
		<-p.Done
		return fmt.Errorf("process %d did not end within %s of %s and was killed", p.Command.Process.Pid, stopTimeout, signal)
	}
}

// await calls ready every few milliseconds until it succeeds, the process ends or ctx does.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	var last error
	err := retry.Until(ctx, 20*time.Millisecond, 20*time.Millisecond, func(int) error {
		if last = ready(ctx); last != nil && !p.running() {
			return retry.Stop(fmt.Errorf("it ended: %w", errors.Join(p.Err(), errEnded)))
		}
		return last
	})
	if err != nil && !errors.Is(err, errEnded) {
		return fmt.Errorf("not ready: %w", errors.Join(last, err))
	}
	return err
}

var errEnded = errors.New("process ended")

// Ports for servers. They are below those that systems give to outgoing connections (ip_local_port_range on Linux): one of
// these could be taken in the seconds until the server listens.
const (
	lowestPort  = 12_000
	highestPort = 32_000
	portTries   = 1000
)

// freePorts returns ports that were free a moment ago, all different.
func freePorts(count int) ([]int, error) {
	ports := make([]int, 0, count)
	var last error
	for range portTries {
		if len(ports) == count {
			return ports, nil
		}
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(lowestPort+rand.IntN(highestPort-lowestPort))))
		if err != nil {
			last = err
			continue
		}
		defer listener.Close() // when all are found, so that they differ
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return nil, fmt.Errorf("find a free port: %w", last)
}

// tail returns the last lines of a log file, for an error message.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 4096
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(bytes.TrimSpace(text))
}

var created atomic.Int64

// newDir creates a directory that everybody can enter, since a server may run as another user.
func newDir(parent, name string) (string, error) {
	dir, err := os.MkdirTemp(parent, fmt.Sprintf("applylens-%s-%d-", name, created.Add(1)))
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}
