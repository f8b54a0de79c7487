package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/applylens/applylens/internal/config"
)

// writeKcat writes the file of settings that kcat reads if the variable KCAT_CONFIG names it, and returns its absolute path.
// Only the owner of the file may read it, whatever was there before.
func writeKcat(dir string, kafka *config.Kafka) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, "kcat.conf"))
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=%s\nsasl.username=%s\nsasl.password=%s\n",
		strings.ToUpper(kafka.KafkaSASLMechanism), kafka.KafkaSASLUsername, string(kafka.KafkaSASLPassword))
	part, err := os.CreateTemp(dir, "kcat.conf-*")
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	_, err = part.WriteString(text)
	if err := errors.Join(err, part.Close()); err != nil {
		return "", fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(part.Name())))
	}
	return path, os.Rename(part.Name(), path)
}
