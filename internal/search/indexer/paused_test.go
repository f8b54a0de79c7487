package indexer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/schema"
)

// TestAPausedIndexerBringsNothingBack: a process stands still between reading a mail and sending it. Meanwhile another takes
// over, the person is erased, and Elasticsearch forgets that the document was deleted.
func TestAPausedIndexerBringsNothingBack(t *testing.T) {
	w := newDeployment(t)
	w.SetClock(time.Now()) // the process has a clock of its own
	stop := w.start()
	w.fold(many("ada", 3)...)
	w.settle()
	stop()
	w.put(http.MethodPut, w.liveIndex()+"/_settings", `{"index.gc_deletes": "0s"}`)
	w.fold(received("ada", "1", func(m *events.Mail) { m.Subject = "changed" }))

	log := filepath.Join(t.TempDir(), "failpoints")
	paused, _ := w.process("APPLYLENS_FAILPOINT=index_after_read=stop", "APPLYLENS_FAILPOINT_LOG="+log)
	w.Eventually("the process has read and stopped", func() error {
		hits, _ := os.ReadFile(log)
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", paused.Process.Pid))
		if err == nil && (!strings.Contains(string(hits), "=stop") || !strings.Contains(string(state), ") T ")) {
			err = errors.New("not yet")
		}
		return err
	})
	w.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'applylens index'`)
	w.start()
	w.fold(&events.Event{Envelope: events.Envelope{Type: events.TypeUserErased}, Erasure: &events.Erasure{UserID: "ada"}})
	w.settle()
	w.same()
	index := w.liveIndex()
	w.awaitForgotten(index)

	w.Must(paused.Process.Signal(syscall.SIGCONT))
	w.Eventually("the process notices that another has taken over", func() error {
		if !strings.Contains(w.Logs.String(), "the indexer was interrupted") {
			return errors.New("not yet")
		}
		return nil
	})
	w.put(http.MethodPost, index+"/_refresh", "")
	if back := w.documents(); len(back) != 0 {
		t.Errorf("documents of an erased person are back: %v", back)
	}
}

// awaitForgotten waits until Elasticsearch has forgotten the deletions so far, by one of its own: it does so at a refresh some
// time later.
func (w *deployment) awaitForgotten(index string) {
	w.Helper()
	write := func(method, body string, version int) int {
		w.Helper()
		request, err := http.NewRequest(method, fmt.Sprintf("%s/%s/_doc/witness?version_type=external&version=%d", w.server, index, version), strings.NewReader(body))
		w.Must(err)
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		w.Must(err)
		w.Must(response.Body.Close())
		return response.StatusCode
	}
	if status := write(http.MethodDelete, "", 6); status != http.StatusNotFound {
		w.Fatalf("the deletion of no witness is answered %d", status)
	}
	w.Eventually("Elasticsearch forgets deletions", func() error {
		w.put(http.MethodPost, index+"/_refresh", "")
		if status := write(http.MethodPut, "{}", 5); status != http.StatusCreated {
			return fmt.Errorf("an older write is answered %d", status)
		}
		return nil
	})
	if status := write(http.MethodDelete, "", 7); status != http.StatusOK {
		w.Fatalf("the deletion of the witness is answered %d", status)
	}
}

// TestAnOldBatchIsReadAgain: what was read too long ago is not sent, and its marks stay.
func TestAnOldBatchIsReadAgain(t *testing.T) {
	w := newDeployment(t)
	_, err := Plan(t.Context(), w.Pool, w.client, false)
	w.Must(err)
	x := w.indexer()
	for x.building || len(x.targets) == 0 {
		_, err := x.work(t.Context(), false)
		w.Must(err)
	}
	w.fold(many("ada", 3)...)
	x.BatchLife = time.Nanosecond
	if _, err = x.work(t.Context(), false); !errors.Is(err, elastic.ErrExpired) || reason(err) != "expired" {
		t.Errorf("an old batch gives %v", err)
	}
	if left := world.Scalar[int](w, `SELECT count(*) FROM dirty_mails`); left != 3 || w.count() != 0 {
		t.Errorf("%d marks are left, and %d documents were sent", left, w.count())
	}
	x.BatchLife = time.Minute
	for again := true; world.Scalar[int](w, `SELECT count(*) FROM dirty_mails`) > 0; again = false {
		_, err := x.work(t.Context(), again)
		w.Must(err)
	}
	w.same()
}

// TestDeletionsAreRememberedLongEnough: for much longer than a batch may be on its way.
func TestDeletionsAreRememberedLongEnough(t *testing.T) {
	var index struct {
		Settings struct {
			Index struct {
				GCDeletes string `json:"gc_deletes"`
			} `json:"index"`
		} `json:"settings"`
	}
	if err := json.Unmarshal(schema.EmailIndex, &index); err != nil {
		t.Fatal(err)
	}
	remembered, err := time.ParseDuration(index.Settings.Index.GCDeletes)
	if err != nil {
		t.Fatal(err)
	}
	w := newDeployment(t)
	if c := w.config(); remembered < 10*c.BatchLife {
		t.Errorf("deletions are remembered for %s, and batches live for %s", remembered, c.BatchLife)
	}
}
