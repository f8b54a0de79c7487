// Package subprocess starts child processes that the kernel ends together with their parent, however the parent ends. Where the
// system cannot do that, a child may outlive a killed parent.
package subprocess

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a child that was started. It is safe for concurrent use.
type Process struct {
	Command *exec.Cmd
	Done    chan struct{} // closed when it has ended

	err error // set before Done is closed
}

// Start starts the command in a process group of its own, so that Ctrl-C in a terminal does not reach it: its owner shuts it
// down. The child gets deathSignal when its parent ends. Other attributes of the command are kept.
//
// The kernel sends the signal when the thread that started the child ends, so a locked thread starts it and waits for its end.
func Start(command *exec.Cmd, deathSignal syscall.Signal) (*Process, error) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
	EndWithParent(command.SysProcAttr, deathSignal)
	p := &Process{Command: command, Done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = command.Wait()
		close(p.Done)
	}()
	return p, <-started
}

// Running reports whether the child has not ended yet. A nil Process is not running.
func (p *Process) Running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.Done:
		return false
	default:
		return true
	}
}

// Err returns how the child ended, as exec.Cmd.Wait does. It waits for the end.
func (p *Process) Err() error {
	<-p.Done
	return p.err
}
