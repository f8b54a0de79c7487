// Package private writes files that only their owner may read, and checks that a directory is safe to keep them in. It
// follows no symbolic link at the end of a path, and no file keeps rights that somebody else gave it.
package private

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

const mode fs.FileMode = 0o600

// WriteFile replaces the file at path by a new one with the content, as a whole. A symbolic link at path is replaced, not
// followed. The directory must be safe, see Dir, and there must be one writer.
func WriteFile(path string, content []byte) (err error) {
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY|syscall.O_NOFOLLOW, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part))
		}
	}()
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// Open opens or creates a file that is changed in place, and takes the rights of others from it. flags are those of
// os.OpenFile for writing. A symbolic link, or anything else that is not a regular file, is an error.
func Open(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, flags|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, mode)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link: remove it", path)
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file: remove it", path)
	case info.Mode().Perm() != mode:
		err = file.Chmod(mode)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Dir returns the absolute path of a directory, without symbolic links. If somebody other than us and root can change what is
// in it, or everybody can replace one of its parents, the error says what to do.
func Dir(path string) (string, error) {
	dir, err := filepath.Abs(path)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", err
	}
	return dir, check(dir)
}

func check(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner != 0 && owner != uint32(os.Geteuid()) {
		return fmt.Errorf("the directory %s belongs to %s, who can read and change what is in it: use another, or run: chown %s %s",
			dir, name(owner), name(uint32(os.Geteuid())), dir)
	}
	if info.Mode()&0o022 != 0 {
		return fmt.Errorf("other users can change what is in the directory %s (mode %04o): use another, or run: chmod go-w %s", dir, info.Mode().Perm(), dir)
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Lstat(parent)
		if err != nil {
			return err
		}
		if info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("everybody can replace the directory %s, since %s has the mode %04o: use another, or run: chmod o-w %s",
				dir, parent, info.Mode().Perm(), parent)
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}

// name returns a user's name, or the id if there is none.
func name(id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if found, err := user.LookupId(text); err == nil {
		return found.Username
	}
	return "the user " + text
}
