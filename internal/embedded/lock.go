package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/applylens/applylens/internal/private"
)

// ErrInUse means that another process runs servers on the same data directory.
var ErrInUse = errors.New("the data directory is in use")

// lockDir locks the directory. The kernel releases the lock when this process ends, for whatever reason.
func lockDir(dir string) (*os.File, error) {
	file, err := private.Open(filepath.Join(dir, "lock"), os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := os.ReadFile(file.Name())
		file.Close()
		return nil, fmt.Errorf("%w: applylens is already running on %s (process %s)", ErrInUse, dir, strings.TrimSpace(string(holder)))
	}
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintln(file, os.Getpid())
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	return file, nil
}
