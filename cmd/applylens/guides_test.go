package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/sample"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// Every block of a guide that begins with "```sh test" is run, in order, in one shell per guide. Further words on that
// line name programs that this block needs in addition. A block "```text output" directly after it lists lines that the
// output must contain, in order; other lines may be between them, and … matches anything within a line. A block that begins
// with a language and "file NAME" is written to that file.

// block is a piece of shell in a guide, or a file.
type block struct {
	line   int
	needs  []string
	script string
	output []string // lines that it must print
	file   string   // the name of the file; empty for shell
}

var fence = regexp.MustCompile("(?ms)^```(sh test|text output|[a-z]+ file)([^\n]*)\n(.*?)^```$")

func readBlocks(t *testing.T, path string) []block {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	end := 0
	for _, m := range fence.FindAllSubmatchIndex(text, -1) {
		body := string(text[m[6]:m[7]])
		line, words := 1+bytes.Count(text[:m[0]], []byte("\n")), strings.Fields(string(text[m[4]:m[5]]))
		if kind := string(text[m[2]:m[3]]); kind == "sh test" {
			blocks = append(blocks, block{line: line, needs: words, script: body})
		} else if strings.HasSuffix(kind, " file") && len(words) == 1 {
			blocks = append(blocks, block{line: line, script: body, file: words[0]})
		} else if len(blocks) == 0 || strings.TrimSpace(string(text[end:m[0]])) != "" {
			t.Fatalf("%s: output without a block before it: %s", path, body)
		} else {
			blocks[len(blocks)-1].output = strings.Split(strings.TrimSpace(body), "\n")
		}
		end = m[1]
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no blocks to run", path)
	}
	return blocks
}

// missing returns the first of the lines that the output does not contain in order.
func missing(output string, lines []string) string {
	rest := strings.Split(output, "\n")
next:
	for _, line := range lines {
		for len(rest) > 0 {
			first := rest[0]
			rest = rest[1:]
			if matches(first, strings.Split(strings.TrimSpace(line), "…")) {
				continue next
			}
		}
		return line
	}
	return ""
}

func matches(line string, parts []string) bool {
	for _, part := range parts {
		at := strings.Index(line, part)
		if at < 0 {
			return false
		}
		line = line[at+len(part):]
	}
	return true
}

func TestMissing(t *testing.T) {
	f := func(output string, want string, lines ...string) {
		t.Helper()
		if got := missing(output, lines); got != want {
			t.Errorf("%q: missing %q, want %q", output, got, want)
		}
	}
	f("a\nb\nc\n", "", "a", "c")
	f("a\nb\nc\n", "a", "c", "a")
	f("x 17 y\n", "", "x … y")
	f("y 17 x\n", "x … y", "x … y")
	f("a\n", "a", "a", "a")
	f("", "a", "a")
}

// shell is one bash process. Its background processes end with the test.
type shell struct {
	t       *testing.T
	dir     string // where it runs
	scripts string // directory
	stdin   io.Writer
	lines   chan string
	ended   chan struct{}
	count   int
}

func newShell(t *testing.T, dir string, environment ...string) *shell {
	t.Helper()
	command := exec.Command("bash", "--noprofile", "--norc")
	command.Dir, command.Env = dir, environment
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe() // a pipe of our own, since background processes keep it open
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = write, write
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	s := &shell{t: t, dir: dir, scripts: t.TempDir(), stdin: stdin, lines: make(chan string, 10_000), ended: make(chan struct{})}
	go func() {
		for scanner := bufio.NewScanner(read); scanner.Scan(); {
			s.lines <- scanner.Text()
		}
	}()
	go func() {
		defer close(s.ended)
		_ = command.Wait() // a block that fails ends the shell
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		<-s.ended
		read.Close()
	})
	fmt.Fprintln(stdin, "set -euo pipefail")
	if program := os.Getenv("KCAT"); program != "" {
		fmt.Fprintf(stdin, "kcat() { command %s \"$@\"; }\n", program)
	}
	return s
}

// run runs a script and returns its output, and whether it succeeded.
func (s *shell) run(script string) (output string, ok bool) {
	s.t.Helper()
	s.count++
	path, end := filepath.Join(s.scripts, fmt.Sprint(s.count)), fmt.Sprintf("end of block %d", s.count)
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		s.t.Fatal(err)
	}
	fmt.Fprintf(s.stdin, ". %s </dev/null; echo '%s'\n", path, end)
	var text strings.Builder
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case line := <-s.lines:
			if line == end {
				return text.String(), true
			}
			text.WriteString(line + "\n")
		case <-s.ended:
			for len(s.lines) > 0 {
				text.WriteString(<-s.lines + "\n")
			}
			return text.String(), false
		case <-deadline:
			return text.String() + "(timed out)\n", false
		}
	}
}

// follow runs the blocks of a guide one after the other.
func (s *shell) follow(t *testing.T, guide string) {
	t.Helper()
	for _, b := range readBlocks(t, guide) {
		good := t.Run(fmt.Sprint("line ", b.line), func(t *testing.T) {
			if b.file != "" {
				b.write(t, s.dir)
				return
			}
			require(t, b.needs...)
			output, ok := s.run(b.script)
			if !ok {
				t.Fatalf("it failed:\n%s\n%s", b.script, output)
			}
			if line := missing(output, b.output); line != "" {
				t.Errorf("it does not print %q:\n%s\n%s", line, b.script, output)
			}
		})
		if !good {
			return
		}
	}
}

// write writes the block's file.
func (b *block) write(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, b.file), []byte(b.script), 0o600); err != nil {
		t.Fatal(err)
	}
}

// clients are the variables, set by "make test", that name what examples in other languages need, by their programs.
var clients = map[string][2]string{
	"python3": {"CONFLUENT_KAFKA", "a directory with the Python package confluent-kafka"},
	"node":    {"KAFKAJS", "a directory whose node_modules has the package kafkajs"},
	"java":    {"JDK_BIN", "the directory of a java that runs source files"},
}

// withClients prepares a directory for examples in other languages, and adds what they need to the environment of a shell.
func withClients(t *testing.T, dir string, environment []string) []string {
	t.Helper()
	if modules := os.Getenv("KAFKAJS"); modules != "" {
		if err := os.Symlink(filepath.Join(modules, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
	}
	if jdk := os.Getenv("JDK_BIN"); jdk != "" {
		environment = slices.Clone(environment)
		for i, setting := range environment {
			if path, found := strings.CutPrefix(setting, "PATH="); found {
				environment[i] = "PATH=" + jdk + string(os.PathListSeparator) + path
			}
		}
	}
	return append(environment, "PYTHONPATH="+os.Getenv("CONFLUENT_KAFKA"), "CLASSPATH="+filepath.Join(os.Getenv("KAFKA_CLASSPATH"), "*"))
}

// require skips the test if a program is missing. kcat has several names, so the variable KCAT gives its command.
func require(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if client, needed := clients[program]; needed && os.Getenv(client[0]) == "" {
			t.Skipf("set %s to %s to run this test; make test does", client[0], client[1])
		}
		if program == "java" && os.Getenv("KAFKA_CLASSPATH") == "" {
			t.Skip("set KAFKA_CLASSPATH to the directory of Kafka's jars to run this test; make test does")
		}
		if program == "kcat" {
			if program = os.Getenv("KCAT"); program == "" {
				t.Skip("set KCAT to the command, such as kcat or kafkacat, to run this test")
			}
		}
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("install %s to run this test", program)
		}
	}
}

// atHome creates a home directory that PostgreSQL's user can traverse, and returns it with the environment of a shell
// that has the program in its path.
func atHome(t *testing.T) (program, home string, environment []string) {
	t.Helper()
	require(t, "bash", "curl", "jq", "psql")
	program, home = binary(t), t.TempDir()
	for _, dir := range []string{home, filepath.Dir(home)} {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH")
	if bin := os.Getenv("PG_BIN"); bin != "" {
		path = bin + string(os.PathListSeparator) + path
	}
	environment = []string{"PATH=" + path, "HOME=" + home, "USER=operator", "LANG=C.UTF-8"}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY"} { // for README's "go run"
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		environment = append(environment, name+"="+strings.TrimSpace(string(value)))
	}
	return program, home, environment
}

// writeMailbox writes an mbox of recent mail.
func writeMailbox(t *testing.T, path string) {
	t.Helper()
	text, err := io.ReadAll(sample.Recent(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// withUp runs "applylens up" with the data directory that the guides expect.
func withUp(t *testing.T, args ...string) (home string, environment []string) {
	t.Helper()
	program, home, environment := atHome(t)
	data := filepath.Join(home, ".local", "share", "applylens")
	up := startUp(t, program, append(args, "--data-dir", data)...)
	up.until(lastLine, 3*time.Minute)
	t.Cleanup(func() {
		if status := up.interrupt(); status != 0 {
			t.Errorf("up ended with status %d:\n%s", status, up.stderr)
		}
	})
	writeMailbox(t, filepath.Join(home, "mail.mbox"))
	return home, withClients(t, home, environment)
}

func TestREADME(t *testing.T) {
	_, environment := withUp(t, "--demo")
	root := filepath.Join("..", "..")
	newShell(t, root, environment...).follow(t, filepath.Join(root, "README.md"))
}

func TestOwnersGuide(t *testing.T) {
	home, environment := withUp(t)
	newShell(t, home, environment...).follow(t, filepath.Join("..", "..", "docs", "owner.md"))
}

func TestEmittersGuide(t *testing.T) {
	home, environment := withUp(t)
	newShell(t, home, environment...).follow(t, filepath.Join("..", "..", "docs", "emit.md"))
}

// The operator's guide starts processes of its own, on real servers.
func TestOperatorsGuide(t *testing.T) {
	kafka := testenv.Kafka(t)
	_, database := testenv.Database(t)
	_, home, environment := atHome(t)
	writeMailbox(t, filepath.Join(home, "mail.mbox"))
	environment = append(environment, "KAFKA_BROKERS="+strings.Join(kafka.KafkaBrokers, ","), "TOPIC_PREFIX="+kafka.TopicPrefix,
		"DATABASE_URL="+database, "LISTEN="+testenv.FreeAddress(t), "METRICS_LISTEN=127.0.0.1:0")
	newShell(t, home, environment...).follow(t, filepath.Join("..", "..", "docs", "operate.md"))
}
