package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary builds the command once for all tests of the package.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "applylens")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// upProcess is a running "applylens up".
type upProcess struct {
	t       *testing.T
	command *exec.Cmd
	lines   chan string
	stderr  *bytes.Buffer
}

func startUp(t *testing.T, path string, args ...string) *upProcess {
	t.Helper()
	u := &upProcess{t: t, command: exec.Command(path, append([]string{"up", "--listen", "127.0.0.1:0"}, args...)...), lines: make(chan string, 1000), stderr: &bytes.Buffer{}}
	stdout, err := u.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	u.command.Stderr = u.stderr
	if err := u.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.command.Process.Kill() })
	go func() {
		defer close(u.lines)
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			u.lines <- scanner.Text()
		}
	}()
	return u
}

// until returns the output up to the line that contains text.
func (u *upProcess) until(text string, within time.Duration) string {
	u.t.Helper()
	deadline := time.After(within)
	var seen strings.Builder
	for {
		select {
		case line, ok := <-u.lines:
			if !ok {
				_ = u.command.Wait()
				u.t.Fatalf("up ended before it printed %q:\n%s%s", text, &seen, u.stderr)
			}
			seen.WriteString(line + "\n")
			if strings.Contains(line, text) {
				return seen.String()
			}
		case <-deadline:
			u.t.Fatalf("up did not print %q within %s:\n%s", text, within, &seen)
		}
	}
}

// interrupt sends SIGINT and returns the exit status.
func (u *upProcess) interrupt() int {
	u.t.Helper()
	if err := u.command.Process.Signal(syscall.SIGINT); err != nil {
		u.t.Fatal(err)
	}
	for range u.lines {
	}
	_ = u.command.Wait()
	return u.command.ProcessState.ExitCode()
}

// settings reads the file env that up writes.
func settings(t *testing.T, dir string) map[string]string {
	t.Helper()
	path := filepath.Join(dir, "env")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %o, want 600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "export ")), "=")
		found[name] = strings.Trim(value, "'")
	}
	return found
}

func get(t *testing.T, env map[string]string, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, env["APPLYLENS_URL"]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+env["APPLYLENS_TOKEN"])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s: %s", path, response.Status, body)
	}
	return string(body)
}

// refuses checks that a name which another site gave to this machine is no way in.
func refuses(t *testing.T, env map[string]string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, env["APPLYLENS_URL"]+"/policy", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "evil.example"
	request.Header.Set("Authorization", "Bearer "+env["APPLYLENS_TOKEN"])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("with the Host of another site: %s", response.Status)
	}
}

// asDemo returns the settings with which a command acts as the owner of the sample mail.
func asDemo(env map[string]string) map[string]string {
	env = maps.Clone(env)
	env["APPLYLENS_TOKEN"] = env["APPLYLENS_DEMO_TOKEN"]
	return env
}

// sums returns the part of a demonstration's report that is the same however often it is played.
func sums(t *testing.T, printed string) string {
	t.Helper()
	from, to := strings.Index(printed, "learned weights"), strings.Index(printed, "lag: 0 records")
	if from < 0 || to < from {
		t.Fatalf("there are no sums in\n%s", printed)
	}
	return printed[from:to]
}

// proposed is the line of a report that counts what was proposed and decided.
var proposed = regexp.MustCompile(`policies proposed \d+ actions; \d+ were approved and \d+ rejected`)

// dataDir returns a data directory to be created. PostgreSQL's user must be able to traverse its parents.
func newDataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

// kill ends the process without giving it time for anything.
func (u *upProcess) kill() {
	u.t.Helper()
	if err := u.command.Process.Kill(); err != nil {
		u.t.Fatal(err)
	}
	for range u.lines {
	}
	_ = u.command.Wait()
}

const lastLine = "Ctrl-C stops it"

func TestUpDemoLearnsAndKeepsWhatItLearned(t *testing.T) {
	path, dir := binary(t), newDataDir(t)
	first := startUp(t, path, "--demo", "--data-dir", dir)
	printed := first.until(lastLine, 5*time.Minute)
	for _, want := range []string{"ApplyLens is ready at http://127.0.0.1:", "rose from", "contains:meetup", "by system       greenhouse 52, lever 21, workday 16", "urgent recruiter mail first:", "lag: 0 records"} {
		if !strings.Contains(printed, want) {
			t.Errorf("the demo did not print %q:\n%s", want, printed)
		}
	}
	if !regexp.MustCompile(`mails enriched  [1-9]`).MatchString(printed) {
		t.Errorf("no mail was matched with its application:\n%s", printed)
	}
	env := settings(t, dir)
	doctor := exec.Command(path, "doctor")
	for name, value := range env {
		doctor.Env = append(doctor.Env, name+"="+value)
	}
	out, err := doctor.CombinedOutput()
	if err != nil || !regexp.MustCompile(`OK +kafka access`).Match(out) || !regexp.MustCompile(`OK +postgres access`).Match(out) {
		t.Errorf("with the settings of env, the doctor ends with %v: %s", err, out)
	}
	kcat, err := os.Stat(env["KCAT_CONFIG"])
	if err != nil || kcat.Mode().Perm() != 0o600 {
		t.Errorf("kcat's settings %q: mode %v (%v), want 0600", env["KCAT_CONFIG"], kcat, err)
	}
	refuses(t, env)
	learned := get(t, asDemo(env), "/preferences")
	if !strings.Contains(learned, "contains:meetup") {
		t.Errorf("nothing was learned about meetups: %s", learned)
	}
	if own := get(t, env, "/preferences"); strings.Contains(own, "contains:meetup") {
		t.Errorf("the local user learned of the sample mail: %s", own)
	}
	second := exec.Command(path, "up", "--listen", "127.0.0.1:0", "--data-dir", dir)
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "in use") {
		t.Errorf("a second up on the same directory: %v: %s", err, out)
	}
	if status := first.interrupt(); status != 0 {
		t.Errorf("SIGINT ends it with status %d:\n%s", status, first.stderr)
	}

	again := startUp(t, path, "--demo", "--data-dir", dir)
	if reprinted := again.until(lastLine, time.Minute); sums(t, reprinted) != sums(t, printed) {
		t.Errorf("the second start shows\n%s\ninstead of\n%s", reprinted, printed)
	}
	if kept := get(t, asDemo(settings(t, dir)), "/preferences"); kept != learned {
		t.Errorf("after the second start the preferences are\n%s\ninstead of\n%s", kept, learned)
	}
	again.kill()

	third := startUp(t, path, "--data-dir", dir)
	third.until(lastLine, time.Minute)
	if kept := get(t, asDemo(settings(t, dir)), "/preferences"); kept != learned {
		t.Errorf("after kill -9 the preferences are\n%s\ninstead of\n%s", kept, learned)
	}
	if status := third.interrupt(); status != 0 {
		t.Errorf("SIGINT ends it with status %d:\n%s", status, third.stderr)
	}
}

// TestUpDemoIsTakenAwayAndPlayedAgain erases the user of the sample mail, plays again, is killed in the middle, and plays once
// more: the sums are the same, and the local user's own mail stays.
func TestUpDemoIsTakenAwayAndPlayedAgain(t *testing.T) {
	path, dir := binary(t), newDataDir(t)
	up := startUp(t, path, "--demo", "--data-dir", dir)
	printed := up.until(lastLine, 5*time.Minute)
	env := settings(t, dir)
	applylens := func(stdin io.Reader, args ...string) {
		t.Helper()
		command := exec.Command(path, args...)
		command.Stdin = stdin
		for name, value := range env {
			command.Env = append(command.Env, name+"="+value)
		}
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("applylens %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	const lunch = `{"eq":["sender_domain","friends.example"]}` // no sample mail is of it
	applylens(bytes.NewReader(meetups(3)), "import", "-")
	(&client{t, env}).matching(lunch, 1)
	applylens(nil, "user", "erase", demoUser, "--yes")
	if status := up.interrupt(); status != 0 {
		t.Errorf("SIGINT ends it with status %d:\n%s", status, up.stderr)
	}

	killed := startUp(t, path, "--demo", "--data-dir", dir)
	killed.until("two meetups were approved", time.Minute)
	killed.kill()
	env = settings(t, dir)

	last := startUp(t, path, "--demo", "--data-dir", dir)
	reprinted := last.until(lastLine, 2*time.Minute)
	if sums(t, reprinted) != sums(t, printed) || proposed.FindString(reprinted) != proposed.FindString(printed) || proposed.FindString(printed) == "" {
		t.Errorf("played again it shows\n%s\ninstead of\n%s", reprinted, printed)
	}
	env = settings(t, dir)
	(&client{t, env}).matching(lunch, 1)
	(&client{t, env}).matching(`{"contains":["subject","meetup"]}`, 3)
	(&client{t, asDemo(env)}).matching(lunch, 0)
	if status := last.interrupt(); status != 0 {
		t.Errorf("SIGINT ends it with status %d:\n%s", status, last.stderr)
	}
}

func TestUpSaysWhatToDoNext(t *testing.T) {
	path, dir := binary(t), newDataDir(t)
	up := startUp(t, path, "--data-dir", dir)
	inOrder(t, up.until(lastLine, 5*time.Minute), "ready at", ". '"+filepath.Join(dir, "env")+"'", "applylens import", "/actions/tray", "up --demo", "/openapi.json", dir)
	if status := up.interrupt(); status != 0 {
		t.Errorf("SIGINT ends it with status %d:\n%s", status, up.stderr)
	}
}
