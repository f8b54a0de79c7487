package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is a line of "go test -json"; see "go doc test2json".
type event struct {
	Action     string
	Package    string
	ImportPath string // instead of Package in output of the compiler
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

type report struct {
	output io.Writer

	texts                   map[string]*strings.Builder // by package and test, until it ends
	skips                   []string
	passed, failed, skipped int
	packageTests            map[string]int
	packageFailures         map[string]int
}

func newReport(output io.Writer) *report {
	return &report{
		output:          output,
		texts:           map[string]*strings.Builder{},
		packageTests:    map[string]int{},
		packageFailures: map[string]int{},
	}
}

// line handles one line. A line that is not an event, such as a message of the go command, is printed as it is.
func (r *report) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		fmt.Fprint(r.output, string(line))
		return
	}
	switch e.Action {
	case "output":
		r.text(e.Package, e.Test).WriteString(e.Output)
	case "build-output":
		fmt.Fprint(r.output, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(e)
		}
	}
}

func (r *report) text(pkg, test string) *strings.Builder {
	key := pkg + " " + test
	if r.texts[key] == nil {
		r.texts[key] = &strings.Builder{}
	}
	return r.texts[key]
}

func (r *report) endTest(e event) {
	text := r.text(e.Package, e.Test).String()
	delete(r.texts, e.Package+" "+e.Test)
	r.packageTests[e.Package]++
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		r.packageFailures[e.Package]++
		fmt.Fprintf(r.output, "FAIL %s %s (%.2fs)\n%s", e.Package, e.Test, e.Elapsed, text)
	case "skip":
		r.skipped++
		r.skips = append(r.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(text)))
	}
}

// endPackage counts a package that failed without a failed test, for example because it does not compile, as one failure.
func (r *report) endPackage(e event) {
	tests, failures := r.packageTests[e.Package], r.packageFailures[e.Package]
	switch {
	case e.Action == "fail" && failures == 0:
		r.failed++
		fmt.Fprintf(r.output, "FAIL %s\n%s", e.Package, r.text(e.Package, "").String())
	case e.Action == "fail":
		fmt.Fprintf(r.output, "FAIL %s: %d of %d tests\n", e.Package, failures, tests)
	case tests > 0:
		fmt.Fprintf(r.output, "ok   %s: %d tests in %.1fs\n", e.Package, tests, e.Elapsed)
	}
	delete(r.texts, e.Package+" ")
}

// reason returns the message of a skipped test, without the lines of the test runner.
func reason(text string) string {
	var said []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

// close prints the totals and reports success.
func (r *report) close(everything bool) bool {
	for _, skip := range r.skips {
		fmt.Fprintln(r.output, "skip", skip)
	}
	good := r.failed == 0
	if r.passed+r.failed == 0 {
		fmt.Fprintln(r.output, "no test ran")
		good = false
	}
	if everything && r.skipped > 0 {
		fmt.Fprintln(r.output, "CI=true allows no test to be skipped")
		good = false
	}
	fmt.Fprintf(r.output, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return good
}
