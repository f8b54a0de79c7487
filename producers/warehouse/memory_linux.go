package warehouse

import (
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
)

// limitMemory lets this process take so many more bytes of memory; asking for more ends it. The limit is on addresses, of
// which the runtime and the race detector have reserved many already.
func limitMemory(bytes int64) error {
	debug.SetMemoryLimit(bytes / 2)
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return fmt.Errorf("read the size of this process: %w", err)
	}
	var pages uint64
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		return fmt.Errorf("read the size of this process: %w", err)
	}
	most := pages*uint64(os.Getpagesize()) + uint64(bytes)
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
		return fmt.Errorf("limit the memory of this process: %w", err)
	}
	return nil
}
