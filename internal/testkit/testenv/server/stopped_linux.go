package server

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/applylens/applylens/internal/retry"
)

// awaitStopped returns when every thread of a process group that was sent SIGSTOP has stopped. One thread of each process
// has to take the signal first, and until it is given a processor, the others go on: on a busy machine long enough to
// answer a request.
func awaitStopped(group int) error {
	return retry.Within(context.Background(), stopTimeout, time.Millisecond, 10*time.Millisecond, func(int) error {
		processes, err := filepath.Glob("/proc/[0-9]*/stat")
		if err != nil {
			return err
		}
		for _, path := range processes {
			if _, of := stateOf(path); of != group {
				continue
			}
			threads, err := filepath.Glob(filepath.Join(filepath.Dir(path), "task", "*", "stat"))
			if err != nil {
				return err
			}
			for _, thread := range threads {
				if state, of := stateOf(thread); of == group && state != "T" {
					return fmt.Errorf("%s is in state %s, not stopped", filepath.Dir(thread), state)
				}
			}
		}
		return nil
	})
}

// stateOf reads the state and the process group of a thread; 0 when it has ended.
func stateOf(path string) (state string, group int) {
	stat, err := os.ReadFile(path)
	if err != nil {
		return "", 0
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name before may hold anything
	if len(fields) < 3 {
		return "", 0
	}
	group, _ = strconv.Atoi(string(fields[2]))
	return string(fields[0]), group
}
