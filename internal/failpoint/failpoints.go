//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// The environment variables of this build.
//
//	APPLYLENS_FAILPOINT      name=action[@n], several separated by ";": at the n-th hit of name (default 1) exit or stop
//	APPLYLENS_FAILPOINT_LOG  file to which every hit appends its name, and every action its rule, one per line
//	APPLYLENS_BREAK          names of guards to disable, separated by ","
const (
	rulesVariable = "APPLYLENS_FAILPOINT"
	logVariable   = "APPLYLENS_FAILPOINT_LOG"
	breakVariable = "APPLYLENS_BREAK"
)

// Enabled tells whether failpoints are compiled in.
const Enabled = true

// rule is one entry of APPLYLENS_FAILPOINT.
type rule struct {
	text   string
	name   string
	action func()
	at     int
}

// environment holds the variables, read once, and how often each failpoint was hit.
type environment struct {
	rules  []rule
	broken []string
	log    *os.File // nil: no log

	mu   sync.Mutex
	hits map[string]int
}

var read = sync.OnceValue(func() *environment {
	e := &environment{hits: map[string]int{}, broken: split(os.Getenv(breakVariable), ",")}
	for _, text := range split(os.Getenv(rulesVariable), ";") {
		e.rules = append(e.rules, parse(text))
	}
	if path := os.Getenv(logVariable); path != "" {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", logVariable, err))
		}
		e.log = file
	}
	return e
})

// Hit marks the failpoint called name, and kills or stops the process if the environment says so. A stopped process
// resumes here after SIGCONT.
func Hit(name string) {
	e := read()
	hit := e.count(name)
	for _, rule := range e.rules {
		if rule.name == name && rule.at == hit {
			e.write(rule.text)
			rule.action()
		}
	}
}

// Broken reports whether the guard called name is disabled, so that tests can prove that they detect its absence.
func Broken(name string) bool { return slices.Contains(read().broken, name) }

func (e *environment) count(name string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hits[name]++
	e.write(name)
	return e.hits[name]
}

// write appends a line with a single write, so that lines of several processes do not mix.
func (e *environment) write(line string) {
	if e.log == nil {
		return
	}
	if _, err := e.log.WriteString(line + "\n"); err != nil {
		panic(fmt.Sprintf("%s: %v", logVariable, err))
	}
}

// exit ends the process like kill -9: no deferred function runs, no buffer is flushed.
func exit() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// stop stops the process until it receives SIGCONT. The signal may stop other threads first, so the caller waits for SIGCONT
// itself instead of running on for some microseconds.
func stop() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-continued
}

// parse parses name=action[@n]. An error is a bug in the test.
func parse(text string) rule {
	name, rest, found := strings.Cut(text, "=")
	action, times, counted := strings.Cut(rest, "@")
	r := rule{text: text, name: name, at: 1}
	var err error
	if counted {
		r.at, err = strconv.Atoi(times)
	}
	r.action = map[string]func(){"exit": exit, "stop": stop}[action]
	if !found || err != nil || r.at < 1 || r.action == nil {
		panic(fmt.Sprintf("%s: %q is not name=exit|stop[@n]", rulesVariable, text))
	}
	return r
}

func split(list, separator string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(separator, r) })
}
