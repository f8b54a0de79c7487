// Package embedded runs the servers of "applylens up" in one data directory, for one machine and for trying out: a Kafka
// broker inside the process, and PostgreSQL as its child, whose programs are fetched once from the network. Ports,
// password, topics and tables are kept from one start to the next.
//
// PostgreSQL runs below a child of our own program (see Child), since it refuses to run as root, and must end in order
// even when the parent is killed. What was acknowledged is on disk. Commands for production never use this package.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// Servers are running servers.
type Servers struct {
	KafkaBrokers string // host:port
	DatabaseURL  string // of a superuser, with its password
	PostgresBin  string // directory of PostgreSQL's programs

	lock     *os.File
	broker   *broker
	postgres *postgres
}

// Start starts both servers on the data directory, which it makes when it is missing, and returns when both answer. ctx
// bounds the start only. A directory that another process uses is refused with ErrInUse.
func Start(ctx context.Context, dir string, log *slog.Logger) (*Servers, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	return startWith(ctx, dir, cache, log)
}

func startWith(ctx context.Context, dir, cache string, log *slog.Logger) (_ *Servers, err error) {
	dir, err = makeDir(dir)
	if err != nil {
		return nil, fmt.Errorf("prepare data directory: %w", err)
	}
	s := &Servers{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	state, err := loadState(dir)
	if err != nil {
		return nil, err
	}
	if s.postgres, err = startPostgres(ctx, dir, cache, state, log); err != nil {
		return nil, err
	}
	if s.broker, err = startBroker(filepath.Join(dir, "kafka"), state); err != nil {
		return nil, err
	}
	if err = state.save(dir); err != nil {
		return nil, err
	}
	s.KafkaBrokers, s.DatabaseURL, s.PostgresBin = s.broker.addr, s.postgres.url, s.postgres.bin
	return s, nil
}

// Stop stops both servers in order: what they hold is on disk when it returns. When ctx ends first, PostgreSQL is
// killed, and repairs itself at its next start.
func (s *Servers) Stop(ctx context.Context) error {
	var errs []error
	if s.broker != nil {
		s.broker.close()
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.stop(ctx))
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// makeDir makes the directory. As root it lets others pass through, but not look, since PostgreSQL runs as another user.
func makeDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		mode := os.FileMode(0o700)
		if os.Geteuid() == 0 {
			mode = 0o711
		}
		if err := os.MkdirAll(dir, mode); err != nil {
			return "", err
		}
	}
	return filepath.EvalSymlinks(dir)
}

// cacheDir is where PostgreSQL's programs are kept for all data directories. Root's is the system's, since root's home is
// closed to the user that runs PostgreSQL.
func cacheDir() (string, error) {
	base := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("find a place for PostgreSQL's programs: %w", err)
		}
	}
	return filepath.Join(base, "applylens"), nil
}
