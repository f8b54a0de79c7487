package subprocess

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// EndWithParent makes the kernel send the child the signal when the thread that started it ends, for example because its
// process was killed. The caller must keep that thread alive.
func EndWithParent(child *syscall.SysProcAttr, signal syscall.Signal) { child.Pdeathsig = signal }

// EndWithOwnParent makes the kernel send us the signal when our parent ends. The calling thread must stay alive.
func EndWithOwnParent(signal syscall.Signal) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(signal), 0, 0, 0); err != nil {
		return fmt.Errorf("request a signal when the parent ends: %w", err)
	}
	return nil
}
