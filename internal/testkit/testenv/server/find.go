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
	return cached(name, fmt.Sprintf("%.6x", sha256.Sum256(project)), func(work, part string) error {
		pom := filepath.Join(work, "pom.xml")
		if err := os.WriteFile(pom, project, 0o644); err != nil {
			return err
		}
		arguments := append([]string{"-B", "-q", "-Dstyle.color=never", "-f", pom}, goal...)
		arguments[len(arguments)-1] += part
		return download(ctx, name, "mvn", arguments...)
	})
}

// download runs a program that downloads something.
func download(ctx context.Context, name, program string, arguments ...string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s, which downloads %s, is not installed", program, name)
	}
	if output, err := exec.CommandContext(ctx, program, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s could not download %s: %w\n%s", program, name, err, output)
	}
	return nil
}

// cached returns the directory of the cache for a version of something, and has it filled unless it exists.
func cached(name, version string, fill func(work, part string) error) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, name+"-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, fillOnce(dir, name, fill)
}

// fillOnce has a new directory filled, part of a temporary directory, and renames it, so that an incomplete download is never used.
func fillOnce(dir, name string, fill func(work, part string) error) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), name+"-part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	part := filepath.Join(work, "files")
	if err := fill(work, part); err != nil {
		return err
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
func FindFaketime(context.Context) (string, error) {
	found, err := filepath.Glob("/usr/lib*/*/faketime/libfaketime.so.1")
	if err == nil && len(found) == 0 {
		err = errors.New("libfaketime is not installed")
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}
