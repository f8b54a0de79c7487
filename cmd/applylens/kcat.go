package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/private"
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
	if err := private.WriteFile(path, []byte(text)); err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return path, nil
}
