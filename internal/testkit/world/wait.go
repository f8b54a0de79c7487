package world

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/applylens/applylens/internal/testkit/testenv"
)

// Eventually waits until look returns nil.
func (w *World) Eventually(what string, look func() error) {
	w.Helper()
	if w.Label != "" {
		what = w.Label + ": " + what
	}
	testenv.Eventually(w.TB, w.Patience, w.Tick, what, look)
}

// Until waits until holds returns true. Where there is more to tell than yes or no, Eventually tells it.
func (w *World) Until(what string, holds func() bool) {
	w.Helper()
	w.Eventually(what, func() error { return Want(holds(), "not yet") })
}

// Want returns nil when ok, and otherwise an error that says what is the case instead. It is for looks of Eventually.
func Want(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// Background runs work until the returned function is called or the test ends. An error of the work fails the test.
func (w *World) Background(what string, work func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- work(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				w.Errorf("%s ended with %v", what, err)
			}
		case <-time.After(w.Patience):
			w.Errorf("%s does not end", what)
		}
	})
	w.Cleanup(stop)
	return stop
}
