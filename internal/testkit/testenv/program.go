package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Program is the applylens command with failpoints, built once at first use. The zero value is ready for use. TestMain must
// call Remove at the end.
type Program struct {
	once sync.Once
	dir  string
	err  error
}

// Path builds the command and returns its path.
func (p *Program) Path() (string, error) {
	p.once.Do(p.build)
	return filepath.Join(p.dir, "applylens"), p.err
}

func (p *Program) build() {
	if p.dir, p.err = os.MkdirTemp("", "applylens-program-"); p.err != nil {
		return
	}
	out, err := exec.Command("go", "build", "-tags", "failpoints", "-o", p.dir+"/", "github.com/applylens/applylens/cmd/applylens").CombinedOutput()
	if err != nil {
		p.err = fmt.Errorf("build: %w\n%s", err, out)
	}
}

// Remove deletes the command.
func (p *Program) Remove() {
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}
