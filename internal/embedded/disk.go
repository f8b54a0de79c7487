package embedded

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// LeastSpace is the free space in bytes below which the servers of a data directory are about to stop: PostgreSQL extends its
// write-ahead log by 16 MiB at a time.
const LeastSpace = 64 << 20

// FreeSpace returns how many bytes are free for us on the disk of a directory.
func FreeSpace(dir string) (uint64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("look for free space in %s: %w", dir, err)
	}
	return uint64(disk.Bavail) * uint64(disk.Bsize), nil // the types differ between systems
}

// advice returns what to do about a server that ended or does not start, as attributes for the log.
func advice(dir string, least uint64) []any {
	attributes := []any{"see", filepath.Join(dir, "log")}
	if free, err := FreeSpace(dir); err == nil && free < least {
		attributes = append(attributes, "to_do", fmt.Sprintf("free some space: only %d MiB are left on the disk of %s", free>>20, dir))
	}
	return attributes
}
