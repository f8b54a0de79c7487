// Package embedded runs the servers of "applylens up" in one data directory, for trials on one machine: a Kafka broker within
// the process, and PostgreSQL as a child process, whose programs are downloaded once. Ports, passwords, topics and tables are
// kept between starts. Both servers listen on 127.0.0.1 only, and admit nobody without a password: other users of the machine
// can reach the ports.
//
// PostgreSQL runs under a child of our own program (see Child), since it refuses to run as root, and must shut down properly
// even if the parent is killed. Acknowledged data is on disk. Commands for production never use this package.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/private"
)

// Servers are running servers.
type Servers struct {
	Kafka       config.Kafka // for the broker's only user, with the password
	DatabaseURL string       // for a superuser, with the password
	PostgresBin string       // directory of PostgreSQL's programs

	lock     *os.File
	broker   *broker
	postgres *postgres
}

// Start starts both servers on the data directory, which it creates if necessary, and returns when both respond. ctx applies
// only to the start. If another process uses the directory, the error is ErrInUse.
func Start(ctx context.Context, dir string, log *slog.Logger) (*Servers, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	return startWith(ctx, dir, cache, log)
}

func startWith(ctx context.Context, dir, cache string, log *slog.Logger) (_ *Servers, err error) {
	if dir, err = makeDir(dir); err != nil {
		return nil, fmt.Errorf("prepare data directory: %w", err)
	}
	if cache, err = makeCache(cache); err != nil {
		return nil, fmt.Errorf("prepare the cache for PostgreSQL's programs: %w", err)
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
	if s.broker, err = startBroker(ctx, filepath.Join(dir, "kafka"), state); err != nil {
		return nil, err
	}
	if err = state.save(dir); err != nil {
		return nil, err
	}
	s.Kafka, s.DatabaseURL, s.PostgresBin = s.broker.settings, s.postgres.url, s.postgres.bin
	return s, nil
}

// Stop shuts both servers down; all data is on disk when it returns. If ctx ends first, PostgreSQL is killed and recovers at
// its next start.
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

// makeDir creates the directory, and refuses one that others can change. As root, it lets others traverse but not list it,
// since PostgreSQL runs as another user.
func makeDir(dir string) (string, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		mode := os.FileMode(0o700)
		if os.Geteuid() == 0 {
			mode = 0o711
		}
		if err := os.MkdirAll(dir, mode); err != nil {
			return "", err
		}
	}
	return private.Dir(dir)
}

// makeCache creates the cache directory, and refuses one that others can change: programs in it are run.
func makeCache(dir string) (string, error) {
	if err := os.MkdirAll(filepath.Join(dir, "postgres"), 0o755); err != nil {
		return "", err
	}
	return private.Dir(dir)
}

// cacheDir returns where PostgreSQL's programs are cached for all data directories. For root it is a system directory, since
// the user that runs PostgreSQL cannot enter root's home.
func cacheDir() (string, error) {
	base := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("find a cache directory for PostgreSQL's programs: %w", err)
		}
	}
	return filepath.Join(base, "applylens"), nil
}
