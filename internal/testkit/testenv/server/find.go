package server

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The Maven projects of the downloads.
var (
	//go:embed kafka.xml
	kafkaProject []byte
	//go:embed elasticsearch.xml
	elasticsearchProject []byte
)

// FindKafka returns the directory of Kafka's jars, which Maven downloads once per user and version. It fails if java or mvn is
// missing, or if mvn cannot reach its repository.
func FindKafka(ctx context.Context) (string, error) {
	return fetch(ctx, "kafka", kafkaProject, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=")
}

// FindElasticsearch returns the directory of Elasticsearch, which Maven downloads like Kafka.
func FindElasticsearch(ctx context.Context) (string, error) {
	dir, err := fetch(ctx, "elasticsearch", elasticsearchProject, "dependency:unpack-dependencies", "-DexcludeTransitive=true", "-DoutputDirectory=")
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, "elasticsearch-*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%s contains %d directories of Elasticsearch instead of one", dir, len(found))
	}
	return found[0], nil
}

// fetch makes Maven fill a directory of the cache, unless it exists. The directory is appended to the last word of goal.
func fetch(ctx context.Context, name string, project []byte, goal ...string) (string, error) {
	if _, err := exec.LookPath(javaProgram()); err != nil {
		return "", errors.New("java is not installed (17 or later is needed)")
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("%s-%.6x", name, sha256.Sum256(project)))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", fmt.Errorf("the Maven client mvn, which downloads %s, is not installed", name)
	}
	return dir, fill(ctx, dir, name, project, goal)
}

// fill works in a temporary directory and renames it, so that an incomplete download is never used.
func fill(ctx context.Context, dir, name string, project []byte, goal []string) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), name+"-part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	pom, part := filepath.Join(work, "pom.xml"), filepath.Join(work, "files")
	if err := os.WriteFile(pom, project, 0o644); err != nil {
		return err
	}
	arguments := append([]string{"-B", "-q", "-Dstyle.color=never", "-f", pom}, goal...)
	arguments[len(arguments)-1] += part
	if output, err := exec.CommandContext(ctx, "mvn", arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("mvn could not download %s: %w\n%s", name, err, output)
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return err
	}
	err = os.Rename(part, dir)
	if errors.Is(err, os.ErrExist) { // another process was faster
		return nil
	}
	return err
}

// cacheDir returns a persistent directory. For root it is a system directory, since the servers run as another user, which
// cannot enter root's home.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = filepath.Join(os.TempDir(), fmt.Sprintf("cache-%d", os.Getuid()))
	}
	if os.Geteuid() == 0 {
		base = "/var/cache"
	}
	dir := filepath.Join(base, "applylens")
	return dir, os.MkdirAll(dir, 0o755)
}

// FindPostgres returns the directory of initdb and postgres of the newest installed PostgreSQL. It does not use an initdb in
// PATH, which may be a distribution's wrapper.
func FindPostgres(ctx context.Context) (string, error) {
	var candidates []string
	if output, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		candidates = append(candidates, strings.TrimSpace(string(output)))
	}
	installed, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.Sort(installed)
	slices.Reverse(installed)
	candidates = append(candidates, installed...)
	for _, dir := range candidates {
		if isProgram(filepath.Join(dir, "initdb")) && isProgram(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", errors.New("PostgreSQL's server is not installed")
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// FindFaketime returns the path of libfaketime's shared library.
func FindFaketime() (string, error) {
	found, err := filepath.Glob("/usr/lib*/*/faketime/libfaketime.so.1")
	if err == nil && len(found) == 0 {
		err = errors.New("libfaketime is not installed")
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}
