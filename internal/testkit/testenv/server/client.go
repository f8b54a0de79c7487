package server

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The versions of the clients that the examples in docs/emit.md are tested with, and of what checks the web page.
const (
	confluentKafkaVersion = "2.16.1"
	kafkaJSVersion        = "2.2.4"
	axeVersion            = "4.14.0"
)

// FindConfluentKafka returns a directory for PYTHONPATH with the Python package confluent-kafka, which pip downloads once per user and version.
func FindConfluentKafka(ctx context.Context) (string, error) {
	abi, err := exec.CommandContext(ctx, "python3", "-c", `import sysconfig; print(sysconfig.get_config_var("SOABI"))`).Output()
	if err != nil {
		return "", errors.New("python3 is not installed")
	}
	const name = "confluent-kafka"
	return cached(name, confluentKafkaVersion+"-"+strings.TrimSpace(string(abi)), func(_, part string) error {
		return download(ctx, name, "python3", "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target="+part, name+"=="+confluentKafkaVersion)
	})
}

// FindKafkaJS returns a directory whose node_modules has the package kafkajs, which npm downloads once per user and version.
func FindKafkaJS(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", errors.New("node is not installed")
	}
	return findNodePackage(ctx, "kafkajs", kafkaJSVersion)
}

// FindAxe returns the path of the script axe-core, which finds what keeps people from using a page. npm downloads it once per user
// and version.
func FindAxe(ctx context.Context) (string, error) {
	dir, err := findNodePackage(ctx, "axe-core", axeVersion)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"), nil
}

func findNodePackage(ctx context.Context, name, version string) (string, error) {
	return cached(name, version, func(_, part string) error {
		return download(ctx, name, "npm", "install", "--silent", "--no-save", "--ignore-scripts", "--prefix="+part, name+"@"+version)
	})
}

// FindChromium returns the path of a Chromium, which it installs from Debian's packages if it may.
func FindChromium(ctx context.Context) (string, error) {
	if path, found := installedChromium(); found {
		return path, nil
	}
	if os.Geteuid() != 0 {
		return "", errors.New("chromium is not installed")
	}
	if err := download(ctx, "chromium", "apt-get", "install", "-qq", "--yes", "--no-install-recommends", "chromium"); err != nil {
		return "", err
	}
	path, found := installedChromium()
	if !found {
		return "", errors.New("the package chromium has no program of its name")
	}
	return path, nil
}

func installedChromium() (path string, found bool) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// FindJDK returns the directory of a java that can run source files.
func FindJDK(context.Context) (string, error) {
	compiler := "javac"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		compiler = filepath.Join(home, "bin", compiler)
	}
	path, err := exec.LookPath(compiler)
	if err == nil {
		path, err = filepath.EvalSymlinks(path) // to the java beside it, of the same version
	}
	if err != nil {
		return "", errors.New("javac is not installed (a JDK of 17 or later is needed)")
	}
	return filepath.Dir(path), nil
}
