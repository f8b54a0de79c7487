package mailsync_test

import (
	"os"
	"testing"

	"github.com/applylens/applylens/internal/testkit/testenv"
)

// program is the real command, for tests that kill it.
var program testenv.Program

func TestMain(m *testing.M) {
	status := m.Run()
	program.Remove()
	os.Exit(status)
}
