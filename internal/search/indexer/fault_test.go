package indexer

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

// disturbed changes mails and applications, in rounds, while a fault is there, and holds that the index is right when it
// has gone. bitten tells whether the fault did something.
func (w *deployment) disturbed(begin, end func(), bitten func() bool) {
	w.Helper()
	w.fold(many("ada", 60)...)
	w.settle()
	begin()
	for round := range 5 {
		w.fold(w.changes(round)...)
		w.AwaitLooks(1)
	}
	w.Eventually("the fault bites", func() error {
		if !bitten() {
			return errors.New("not yet")
		}
		return nil
	})
	end()
	w.fold(received("ada", "last"))
	w.settle()
	w.same()
}

// changes are new, changed and forgotten mails, and applications that come, change and go.
func (w *deployment) changes(round int) []*events.Event {
	var part []*events.Event
	for i := range 20 {
		part = append(part, received("ada", fmt.Sprint(10*round+i), func(m *events.Mail) { m.Subject = fmt.Sprint("round ", round) }))
	}
	part = append(part, applied("1", int64(round+1), by("ada@example.org"), inStage(fmt.Sprint("stage ", round))))
	if round == 3 {
		part = append(part, &events.Event{Envelope: events.Envelope{Type: events.TypeUserErased}, Erasure: &events.Erasure{UserID: "ada"}}, received("ada", "5"))
	}
	return part
}

// TestFaultsDelayAndLoseNothing: whatever Elasticsearch answers, the index is behind and then right.
func TestFaultsDelayAndLoseNothing(t *testing.T) {
	bulks := func(w *deployment, more int) func() bool {
		before := w.proxy.count("POST _bulk")
		return func() bool { return w.proxy.count("POST _bulk") >= before+more }
	}
	inject := func(f fault) func(w *deployment) (begin, end func(), bitten func() bool) {
		return func(w *deployment) (begin, end func(), bitten func() bool) {
			return func() { w.proxy.inject(f) }, func() { w.proxy.inject(nil) }, bulks(w, 3)
		}
	}
	for name, fault := range map[string]func(w *deployment) (begin, end func(), bitten func() bool){
		"some items are answered 429": inject(rejects(3)),
		"all items are answered 429":  inject(rejects(1)),
		"503":                         inject(unavailable),
		"the answer is lost after the write landed": inject(lostAnswer),
		"the index is read-only": func(w *deployment) (begin, end func(), bitten func() bool) {
			setting := func(value string) func() {
				return func() {
					w.put(http.MethodPut, w.liveIndex()+"/_settings", `{"index.blocks.read_only_allow_delete": `+value+`}`)
				}
			}
			return setting("true"), setting("null"), bulks(w, 3)
		},
		"writing is blocked": func(w *deployment) (begin, end func(), bitten func() bool) {
			setting := func(value string) func() {
				return func() { w.put(http.MethodPut, w.liveIndex()+"/_settings", `{"index.blocks.write": `+value+`}`) }
			}
			return setting("true"), setting("null"), bulks(w, 3)
		},
		"the index is deleted": func(w *deployment) (begin, end func(), bitten func() bool) {
			lost := ""
			return func() { lost = w.liveIndex(); w.Must(w.open(w.server).Drop(w.Context(), lost)) }, func() {}, func() bool {
				return world.Scalar[bool](w, `SELECT EXISTS (SELECT FROM search_indices WHERE state = 'live' AND name <> $1)`, lost)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDeployment(t)
			w.start(func(c *Config) { c.BatchMails = 50 })
			w.settle()
			w.disturbed(fault(w))
		})
	}
}

// TestADocumentThatIsRefusedDelaysNoOther: it waits by itself, is counted, and is written when it can be.
func TestADocumentThatIsRefusedDelaysNoOther(t *testing.T) {
	w := newDeployment(t)
	w.start()
	w.settle()
	w.proxy.inject(refuses(mailID("ada", "3")))
	w.fold(many("ada", 10)...)
	w.Eventually("nine are found", func() error {
		const onlyRefused = `SELECT count(*) = 1 AND bool_and(refusals > 0) AND NOT EXISTS (SELECT FROM dirty_addresses) FROM dirty_mails`
		if n := len(w.documents()); n != 9 || !world.Scalar[bool](w, onlyRefused) {
			return fmt.Errorf("%d documents, %s", n, w.marks())
		}
		return nil
	})
	for user, want := range map[string]bool{"ada": false, "bob": true} {
		if settled, err := Settled(t.Context(), w.Pool, user, time.Now(), time.Now()); err != nil || settled != want {
			t.Errorf("that everything of %s's can be found is %v, %v", user, settled, err)
		}
	}
	w.proxy.inject(nil)
	w.fold(received("ada", "3", func(m *events.Mail) { m.Subject = "mended" })) // a change is tried at once
	w.Eventually("the mended one is found", func() error {
		if n := w.count(); n != 10 {
			return fmt.Errorf("%d documents, %s", n, w.marks())
		}
		return nil
	})
	w.settle()
	w.same()
}

var program testenv.Program

func TestMain(m *testing.M) {
	status := m.Run()
	program.Remove()
	os.Exit(status)
}

// process starts the real command and returns what ends with it.
func (w *deployment) process(variables ...string) (command *exec.Cmd, ended chan struct{}) {
	w.Helper()
	path, err := program.Path()
	w.Must(err)
	command = exec.Command(path, "index", "--metrics-listen", "", "--database-url", w.URL, "--elasticsearch-url", w.proxy.url, "--elasticsearch-alias", w.alias())
	command.Env = append(os.Environ(), variables...)
	command.Stdout, command.Stderr = w.Logs, w.Logs
	w.Must(command.Start())
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait() // its status is looked at where it matters
	}()
	w.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
	})
	return command, ended
}

// TestKilledAtEveryWindow: a process that dies between any two of its steps leaves marks behind, and the next one does
// what they say.
func TestKilledAtEveryWindow(t *testing.T) {
	for _, point := range []string{"index_after_read", "index_after_bulk", "index_after_refresh"} {
		t.Run(point, func(t *testing.T) {
			w := newDeployment(t)
			w.SetClock(time.Now()) // the process has a clock of its own
			stop := w.start()
			w.fold(many("ada", 30)...)
			w.settle()
			stop()
			w.fold(w.changes(0)...)
			command, ended := w.process("APPLYLENS_FAILPOINT=" + point + "=exit")
			select {
			case <-ended:
			case <-time.After(w.Patience):
				t.Fatal("the process does not come to the failpoint")
			}
			if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("it ended with %v", command.ProcessState)
			}
			w.fold(w.changes(1)...)
			w.process()
			w.settle()
			w.same()
		})
	}
}

// TestControlBulkItems: with the guard the index is right although items were answered 429; without it the comparison
// must fail, or else it proves nothing.
func TestControlBulkItems(t *testing.T) {
	run := func(t *testing.T, variables ...string) *deployment {
		w := newDeployment(t)
		w.SetClock(time.Now())
		w.process(variables...)
		w.settle()
		w.proxy.inject(rejects(3))
		before := w.proxy.count("POST _bulk")
		w.fold(many("ada", 60)...)
		w.Eventually("items are rejected", func() error {
			if w.proxy.count("POST _bulk") == before {
				return errors.New("not yet")
			}
			return nil
		})
		w.proxy.inject(nil)
		w.settle()
		return w
	}
	t.Run("with the guard", func(t *testing.T) { run(t).same() })
	t.Run("without the guard", func(t *testing.T) {
		if w := run(t, "APPLYLENS_BREAK=bulk_items"); len(w.documents()) == 60 {
			t.Error("without looking at the items the index is right all the same")
		}
	})
}
