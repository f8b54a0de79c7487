package failpoint_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// build compiles testdata/hit with the given flags and returns the path of the program.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hit")
	args := append(append([]string{"build"}, flags...), "-o", program, "./testdata/hit")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return program
}

func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

func TestExitAtTheGivenHit(t *testing.T) {
	program, log := build(t, "-tags", "failpoints"), filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(program, "a", "b", "a", "b", "a")
	cmd.Env = append(os.Environ(), "APPLYLENS_FAILPOINT=never=exit;a=exit@2", "APPLYLENS_FAILPOINT_LOG="+log, "APPLYLENS_BREAK=b,cas")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("ended with %v, want killed", err)
	}
	if diff := cmp.Diff([]string{"a false", "b true"}, lines(string(out))); diff != "" {
		t.Errorf("survived (-want +got):\n%s", diff)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "a", "a=exit@2"}, lines(string(text))); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestStopUntilContinued(t *testing.T) {
	cmd := exec.Command(build(t, "-tags", "failpoints"), "a", "b")
	cmd.Env = append(os.Environ(), "APPLYLENS_FAILPOINT=b=stop")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("status %v, error %v; want stopped", status, err)
	}
	out := bufio.NewScanner(stdout)
	if !out.Scan() || out.Text() != "a false" {
		t.Errorf("before the stop: %q, want %q", out.Text(), "a false")
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if !out.Scan() || out.Text() != "b false" {
		t.Errorf("after the stop: %q, want %q", out.Text(), "b false")
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestMalformedRuleIsRefused(t *testing.T) {
	program := build(t, "-tags", "failpoints")
	for _, rule := range []string{"a", "a=sleep", "a=exit@0", "a=exit@x"} {
		cmd := exec.Command(program, "b")
		cmd.Env = append(os.Environ(), "APPLYLENS_FAILPOINT="+rule)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "is not name=exit|stop[@n]") {
			t.Errorf("%s: %v\n%s", rule, err, out)
		}
	}
}

func TestNormalBuildIgnoresTheEnvironment(t *testing.T) {
	cmd := exec.Command(build(t), "a")
	cmd.Env = append(os.Environ(), "APPLYLENS_FAILPOINT=a=exit", "APPLYLENS_BREAK=a")
	out, err := cmd.Output()
	if err != nil || string(out) != "a false\n" {
		t.Errorf("%q, %v", out, err)
	}
}
