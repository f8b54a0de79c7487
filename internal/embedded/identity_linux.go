package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// identity is a way to run the child as a user that PostgreSQL accepts.
type identity struct {
	name       string
	uid, gid   int // the owner of the files
	credential *syscall.Credential
	mappedUID  int // in a user namespace; 0: none
	mappedGID  int
}

// identities returns the ways to try, the best first. An ordinary user stays the same. For root, the child runs as nobody if
// nobody can reach the directories, and otherwise in a user namespace in which root has another id.
func identities(dirs ...string) ([]identity, error) {
	if os.Geteuid() != 0 {
		return []identity{{name: "ourselves", uid: os.Getuid(), gid: os.Getgid()}}, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root, and there is no user nobody to run it as: %w", err)
	}
	uid, uidErr := strconv.Atoi(nobody.Uid)
	gid, gidErr := strconv.Atoi(nobody.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, err
	}
	namespace := identity{name: "root of a user namespace", mappedUID: uid, mappedGID: gid}
	for _, dir := range dirs {
		if !reachable(filepath.Dir(dir)) {
			return []identity{namespace}, nil
		}
	}
	credential := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return []identity{{name: "nobody", uid: uid, gid: gid, credential: credential}, namespace}, nil
}

// reachable reports whether everybody can traverse the directory and its parents.
func reachable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// own changes the owner of the directories, since root may have used another identity last time.
func (i identity) own(dirs ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, i.uid, i.gid)
		})
		if err != nil {
			return fmt.Errorf("change the owner of %s to %s: %w", dir, i.name, err)
		}
	}
	return nil
}

// attributes also put the child into a process group of its own, so that Ctrl-C in a terminal does not reach it.
func (i identity) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true, Credential: i.credential}
	if i.mappedUID != 0 {
		attributes.Cloneflags = syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: i.mappedUID, HostID: os.Geteuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: i.mappedGID, HostID: os.Getegid(), Size: 1}}
	}
	return attributes
}

// ownProgram is the running program, even if its file was replaced or the child cannot enter its directory.
func ownProgram() string { return "/proc/self/exe" }

// serves reports whether the process is a server on the data directory, by its working directory.
func serves(pid int, data string) (bool, error) {
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if errors.Is(err, fs.ErrPermission) {
		return false, err
	}
	return err == nil && dir == data, nil
}
