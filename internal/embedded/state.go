package embedded

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/applylens/applylens/internal/private"
)

// state is kept between starts in the file servers.json of the data directory.
type state struct {
	ClusterID        string `json:"cluster_id"`
	KafkaPort        int    `json:"kafka_port"`
	KafkaPassword    string `json:"kafka_password"` // empty in directories from before there was one
	PostgresPort     int    `json:"postgres_port"`
	PostgresPassword string `json:"postgres_password"`
}

func statePath(dir string) string { return filepath.Join(dir, "servers.json") }

// loadState reads the state, or generates what is missing. Ports that are in use by now are replaced.
func loadState(dir string) (*state, error) {
	s := &state{}
	text, err := os.ReadFile(statePath(dir))
	switch {
	case errors.Is(err, os.ErrNotExist):
		s.ClusterID, s.PostgresPassword = randomText(16), randomText(24)
	case err != nil:
		return nil, fmt.Errorf("read the servers' state: %w", err)
	default:
		if err := json.Unmarshal(text, s); err != nil {
			return nil, fmt.Errorf("read %s: %w", statePath(dir), err)
		}
	}
	if s.KafkaPassword == "" {
		s.KafkaPassword = randomText(24)
	}
	if s.KafkaPort, err = keepOrPickPort(s.KafkaPort); err != nil {
		return nil, err
	}
	return s, s.save(dir)
}

// save replaces the file atomically. Only its owner may read the passwords.
func (s *state) save(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := private.WriteFile(statePath(dir), append(text, '\n')); err != nil {
		return fmt.Errorf("write the servers' state: %w", err)
	}
	return nil
}

// keepOrPickPort returns the port if it is free, otherwise one that the kernel picks.
func keepOrPickPort(port int) (int, error) {
	for _, candidate := range []int{port, 0} {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", candidate))
		if err == nil {
			return listener.Addr().(*net.TCPAddr).Port, listener.Close()
		}
	}
	return 0, errors.New("find a free port on 127.0.0.1")
}

// randomText returns count random bytes as text that needs no escaping in a URL.
func randomText(count int) string {
	bytes := make([]byte, count)
	_, _ = rand.Read(bytes)
	return base64.RawURLEncoding.EncodeToString(bytes)
}
