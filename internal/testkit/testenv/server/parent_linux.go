package server

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// EndWithParent makes the kernel send the child the signal when the thread that starts it ends, as it does when its
// process is killed. The caller keeps that thread.
func EndWithParent(child *syscall.SysProcAttr, signal syscall.Signal) { child.Pdeathsig = signal }

// EndWithOwnParent asks the kernel for the signal when our parent ends. The calling thread must stay.
func EndWithOwnParent(signal syscall.Signal) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(signal), 0, 0, 0); err != nil {
		return fmt.Errorf("ask for a signal when the parent ends: %w", err)
	}
	return nil
}
