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

//go:embed pom.xml
var pom []byte

// FindKafka returns the directory of Kafka's jars, which the Maven client collects once per user and version. It fails
// when java or mvn is missing, or when mvn cannot reach its repository.
func FindKafka(ctx context.Context) (string, error) {
	if _, err := exec.LookPath(javaProgram()); err != nil {
		return "", errors.New("java is not installed (17 or later is needed)")
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("kafka-%x", sha256.Sum256(pom))[:18])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, collectJars(ctx, dir)
}

// collectJars fills a directory beside the wanted one and renames it, so that a broken download is never taken for whole.
func collectJars(ctx context.Context, dir string) error {
	if _, err := exec.LookPath("mvn"); err != nil {
		return errors.New("the Maven client mvn, which fetches Kafka, is not installed")
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "kafka-part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	pomPath, jars := filepath.Join(work, "pom.xml"), filepath.Join(work, "jars")
	if err := os.WriteFile(pomPath, pom, 0o644); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "mvn", "-B", "-q", "-Dstyle.color=never", "-f", pomPath, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+jars)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn could not fetch Kafka: %w\n%s", err, output)
	}
	if err := os.Chmod(jars, 0o755); err != nil {
		return err
	}
	err = os.Rename(jars, dir)
	if errors.Is(err, os.ErrExist) { // another process was faster
		return nil
	}
	return err
}

// cacheDir returns a directory that outlives the run, as far as this user has one.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = filepath.Join(os.TempDir(), fmt.Sprintf("cache-%d", os.Getuid()))
	}
	dir := filepath.Join(base, "applylens")
	return dir, os.MkdirAll(dir, 0o755)
}

// FindPostgres returns the directory of the programs initdb and postgres of an installed PostgreSQL, the newest first. It
// does not trust an initdb of the PATH, which may be a distribution's wrapper.
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
