//go:build !linux

package embedded

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// identity is a way to run the child as a user that PostgreSQL accepts: here only an ordinary user as itself.
type identity struct{ name string }

func identities(...string) ([]identity, error) {
	if os.Geteuid() == 0 {
		return nil, errors.New("PostgreSQL refuses to run as root: run as an ordinary user, or set DATABASE_URL")
	}
	return []identity{{name: "ourselves"}}, nil
}

func (identity) own(dirs ...string) error { return nil }

func (identity) attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func ownProgram() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// serves reports whether the process is a server on the data directory, by its command line.
func serves(pid int, data string) (bool, error) {
	output, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(output), data), nil
}
