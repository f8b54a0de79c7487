package server

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The versions of the clients that the examples in docs/emit.md are tested with.
const (
	confluentKafkaVersion = "2.16.1"
	kafkaJSVersion        = "2.2.4"
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
	const name = "kafkajs"
	return cached(name, kafkaJSVersion, func(_, part string) error {
		return download(ctx, name, "npm", "install", "--silent", "--no-save", "--ignore-scripts", "--prefix="+part, name+"@"+kafkaJSVersion)
	})
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
