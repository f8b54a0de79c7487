//go:build !linux

package warehouse

import "runtime/debug"

// limitMemory only makes the garbage collector work harder: this system has no limit that binds.
func limitMemory(bytes int64) error {
	debug.SetMemoryLimit(bytes / 2)
	return nil
}
