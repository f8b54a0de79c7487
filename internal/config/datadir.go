package config

import (
	"fmt"
	"os"
	"path/filepath"
)

// DataDir returns the data directory of "applylens up" unless it is set. The database's unprivileged user can reach root's.
func DataDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/applylens", nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("there is no home directory for the data: %w", err)
	}
	return filepath.Join(home, ".local", "share", "applylens"), nil
}

// EnvFile is the name of the file in the data directory with the settings of the other commands.
const EnvFile = "env"

// Missing returns an error about a setting that every deployment needs, with the way to take over those of "applylens up".
func Missing(text string) error {
	path := filepath.Join("DIR", EnvFile) + ", where DIR is its data directory"
	if dir, err := DataDir(); err == nil {
		if _, err := os.Stat(filepath.Join(dir, EnvFile)); err == nil {
			path = filepath.Join(dir, EnvFile)
		}
	}
	return fmt.Errorf("%s. To use what \"applylens up\" runs: . %s", text, path)
}
