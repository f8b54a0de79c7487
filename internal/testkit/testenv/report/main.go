// Command report reads the output of "go test -json" and prints a readable report: a line per package, the output of failed
// tests, why tests were skipped, and finally a line such as
//
//	1200 passed, 0 failed, 3 skipped
//
// It exits with status 1 if a test failed, if no test ran, or if a test was skipped with CI=true.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

func main() {
	report := newReport(os.Stdout)
	if err := report.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
	if !report.close(os.Getenv("CI") == "true") {
		os.Exit(1)
	}
}

// read accepts lines of any length: a test may print a whole document in one.
func (r *report) read(input io.Reader) error {
	lines := bufio.NewReader(input)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
