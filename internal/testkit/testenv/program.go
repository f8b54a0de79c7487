package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Program is the applylens command with failpoints, which is built once, when it is first asked for. The zero value is
// ready for use; TestMain has to call Remove at the end.
type Program struct {
	once sync.Once
	dir  string
	err  error
}

// Path builds the command and returns where it is.
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

// Remove deletes what was built.
func (p *Program) Remove() {
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}
