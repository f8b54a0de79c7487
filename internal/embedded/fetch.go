package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"github.com/applylens/applylens/internal/private"
)

const version = embeddedpostgres.V17

// The directories below the cache. Only complete ones have their final name.
func binariesPath(cache string) string { return filepath.Join(cache, "postgres", string(version)) }

// binaries returns the directory of PostgreSQL's programs: the downloaded ones, or the system's if the download fails. A data
// directory is only used with the major version that created it.
func (r request) binaries() (string, error) {
	major, err := r.major()
	if err != nil {
		return "", err
	}
	ours, _, _ := strings.Cut(string(version), ".")
	fetched := errors.New("not tried")
	if major == "" || major == ours {
		if fetched = r.fetch(); fetched == nil {
			return filepath.Join(binariesPath(r.Cache), "bin"), nil
		}
	}
	if bin := systemBinaries(major); bin != "" {
		return bin, nil
	}
	if major != "" && major != ours {
		return "", fmt.Errorf("%s was created by PostgreSQL %s, but this program downloads %s: install PostgreSQL %s, or use another data directory", r.data(), major, ours, major)
	}
	return "", fmt.Errorf("PostgreSQL could not be downloaded: %w\n"+
		"Start again with network access, or set DATABASE_URL to a PostgreSQL server of your own", fetched)
}

// major returns the major version of the data directory, empty if there is no complete one.
func (r request) major() (string, error) {
	if _, err := os.Stat(r.marker()); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	text, err := os.ReadFile(filepath.Join(r.data(), "PG_VERSION"))
	return strings.TrimSpace(string(text)), err
}

// systemBinaries returns the directory of an installed PostgreSQL of the major version, or of the newest if major is empty.
func systemBinaries(major string) string {
	if major == "" {
		major = "*"
	}
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/%s/bin", "/usr/pgsql-%s/bin", "/opt/homebrew/opt/postgresql@%s/bin"} {
		dirs, _ := filepath.Glob(fmt.Sprintf(pattern, major))
		found = append(found, dirs...)
	}
	slices.Sort(found)
	for _, dir := range slices.Backward(found) {
		if isProgram(filepath.Join(dir, "initdb")) && isProgram(filepath.Join(dir, "postgres")) {
			return dir
		}
	}
	return ""
}

// fetch downloads PostgreSQL's programs into the cache. The library downloads only in order to start a server, so it gets a
// temporary directory; the programs get their final name after that server has run.
func (r request) fetch() error {
	final := binariesPath(r.Cache)
	unlock, err := lockCache(filepath.Dir(final))
	if err != nil {
		return err
	}
	defer unlock()
	if isProgram(filepath.Join(final, "bin", "postgres")) {
		return nil
	}
	part, scratch := final+".part", r.scratch()
	defer os.RemoveAll(scratch)
	if err := errors.Join(os.RemoveAll(part), os.RemoveAll(scratch)); err != nil {
		return err
	}
	if err := r.startOnce(part, scratch); err != nil {
		return err
	}
	return os.Rename(part, final)
}

// lockCache prevents two processes from downloading at once.
func lockCache(dir string) (func(), error) {
	file, err := private.Open(filepath.Join(dir, "lock"), os.O_RDWR)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}

// initialise creates the data directory and the database. It discards the result of an interrupted initialisation.
func (r request) initialise(bin string) error {
	if err := os.RemoveAll(r.data()); err != nil {
		return err
	}
	if err := r.startOnce(filepath.Dir(bin), r.data()); err != nil {
		return fmt.Errorf("initialise PostgreSQL's data directory: %w", err)
	}
	return private.WriteFile(r.marker(), nil)
}

// startOnce makes the library download missing programs into base, create the data directory, and start and stop the server.
func (r request) startOnce(base, data string) error {
	server := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(version).
		Port(uint32(r.Port)).
		Username(superuser).
		Password(r.Password).
		Database(databaseName).
		Locale("C.UTF-8").
		Encoding("UTF8").
		CachePath(filepath.Join(r.Cache, "postgres", "archive")).
		BinariesPath(base).
		RuntimePath(filepath.Join(r.Dir, "runtime")).
		DataPath(data).
		StartParameters(map[string]string{"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}).
		Logger(os.Stderr))
	defer r.removeLogs()
	if err := server.Start(); err != nil {
		return err
	}
	return server.Stop()
}

// removeLogs removes the library's log files, whose content is also in our log.
func (r request) removeLogs() {
	paths, _ := filepath.Glob(filepath.Join(r.Dir, "embedded_postgres_log*"))
	for _, path := range paths {
		_ = os.Remove(path)
	}
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
