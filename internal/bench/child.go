package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/applylens/applylens/internal/config"
)

// peakInterval is how often a child's peak memory is read.
const peakInterval = 50 * time.Millisecond

// child is a process of the measured binary.
type child struct {
	name    string
	command *exec.Cmd
	end     context.CancelFunc
	output  tail
	done    chan struct{} // closed when it has ended and err and peak are final
	err     error
	peak    int64 // bytes
}

// start starts a subcommand on the stage and sends it SIGTERM when ctx ends.
func (s *stage) start(ctx context.Context, arguments ...string) (*child, error) {
	ctx, end := context.WithCancel(ctx)
	c := &child{name: strings.Join(arguments, " "), end: end, done: make(chan struct{})}
	c.command = exec.CommandContext(ctx, s.cfg.Binary, arguments...)
	c.command.Env = config.Environ(os.Environ(), &s.kafka, &s.postgres, &s.elasticsearch, &config.Log{LogLevel: "info", LogFormat: "text"})
	c.command.Stdout, c.command.Stderr = &c.output, &c.output
	c.command.Cancel = func() error { return c.command.Process.Signal(syscall.SIGTERM) }
	c.command.WaitDelay = config.ShutdownTimeout + 5*time.Second
	if err := c.command.Start(); err != nil {
		end()
		return nil, fmt.Errorf("start applylens %s: %w", c.name, err)
	}
	go c.watch()
	return c, nil
}

// startAll starts a process for each command, or none.
func (s *stage) startAll(ctx context.Context, commands [][]string) ([]*child, error) {
	var children []*child
	for _, arguments := range commands {
		c, err := s.start(ctx, arguments...)
		if err != nil {
			return nil, errors.Join(err, stopAll(children))
		}
		children = append(children, c)
	}
	return children, nil
}

// stopAll sends SIGTERM to all processes, then waits for them.
func stopAll(children []*child) error {
	var errs []error
	for _, c := range children {
		c.end()
	}
	for _, c := range children {
		errs = append(errs, c.wait())
	}
	return errors.Join(errs...)
}

// watch samples the peak memory until the process has ended.
func (c *child) watch() {
	ended := make(chan error, 1)
	go func() { ended <- c.command.Wait() }()
	ticker := time.NewTicker(peakInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.peak = max(c.peak, peakOf(c.command.Process.Pid))
			continue
		case c.err = <-ended:
		}
		if c.command.ProcessState.Success() {
			c.err = nil // Wait returns the ended context even when the process exited with 0
		}
		if c.peak == 0 {
			c.peak = peakAtEnd(c.command.ProcessState)
		}
		close(c.done)
		return
	}
}

// wait waits until the process has ended.
func (c *child) wait() error {
	<-c.done
	c.end()
	if c.err != nil {
		return fmt.Errorf("applylens %s: %w\n%s", c.name, c.err, c.output.String())
	}
	return nil
}

// failure returns an error about a process that should be running, with the end of its output.
func (c *child) failure(what string) error {
	return fmt.Errorf("applylens %s: %s\n%s", c.name, what, c.output.String())
}

// peakOf returns the peak resident memory of a running process, or 0 where the system does not report it. On Linux it
// is more exact than rusage, which includes the memory of the parent at the fork.
func peakOf(pid int) int64 {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	amount, _, _ := bytes.Cut(rest, []byte("kB"))
	kibibytes, _ := strconv.ParseInt(string(bytes.TrimSpace(amount)), 10, 64)
	return kibibytes << 10
}

// peakAtEnd returns the peak resident memory that the system reports for an ended process.
func peakAtEnd(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	switch {
	case !ok:
		return 0
	case runtime.GOOS == "darwin":
		return int64(usage.Maxrss)
	}
	return int64(usage.Maxrss) << 10
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailLength = 4 << 10

func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, text...)
	if over := len(t.text) - tailLength; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(text), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
