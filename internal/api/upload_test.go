package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/demoperson"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/internal/uploads"
)

// uploading is a deployment that takes uploads in a directory.
type uploading struct {
	*deployment
	store *uploads.Store
	dir   string
}

func takesUploads(t *testing.T, limits uploads.Limits) *uploading {
	t.Helper()
	u := &uploading{dir: filepath.Join(t.TempDir(), "uploads")}
	u.deployment = newDeployment(t, func(c *Config) {
		store, err := uploads.Open(c.Pool, u.dir, limits)
		world.Must(t, err)
		u.store, c.Uploads = store, store
		c.Demos = &demoperson.Persons{Pool: c.Pool, Store: store, Most: 1, Log: c.Log}
	})
	return u
}

func digest(chunk string) string {
	sum := sha256.Sum256([]byte(chunk))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// chunk sends a chunk of an upload.
func (p *person) chunk(id string, offset int, chunk string, headers ...string) *reply {
	p.Helper()
	if len(headers) == 0 {
		headers = []string{"Content-Digest", digest(chunk)}
	}
	return p.ask(http.MethodPut, fmt.Sprintf("/uploads/%s?offset=%d", id, offset), chunk, append(headers, "Content-Type", "application/octet-stream")...)
}

func (p *person) announceFile(size int) string {
	p.Helper()
	return decode[uploadView](p.post("/uploads", map[string]any{"name": `C:\mail\box.mbox`, "size": size, "fingerprint": "f"}).want(http.StatusCreated)).ID
}

func (p *person) offset(id string) (int64, string) {
	p.Helper()
	view := decode[uploadView](p.get("/uploads/" + id).want(http.StatusOK))
	return view.Offset, view.State
}

func TestUpload(t *testing.T) {
	w := takesUploads(t, uploads.DefaultLimits())
	alice, bob := w.person("alice"), w.person("bob")
	first, second := strings.Repeat("a", uploads.MaxChunk), "the end"
	size := len(first) + len(second)
	id := alice.announceFile(size)
	stands := func(offset int, state string) {
		t.Helper()
		if at, is := alice.offset(id); at != int64(offset) || is != state {
			t.Fatalf("at %d, %s; want %d, %s", at, is, offset, state)
		}
	}
	due := func(r *reply, offset int) {
		t.Helper()
		if got := decode[offsetConflict](r.want(http.StatusConflict)); got.Offset != int64(offset) {
			t.Errorf("due is %d, want %d", got.Offset, offset)
		}
	}
	due(alice.chunk(id, len(first), second), 0) // out of order
	alice.chunk(id, 0, first, "Content-Digest", digest("other")).want(http.StatusUnprocessableEntity)
	alice.chunk(id, 0, first, "Content-Digest", "md5=:AAAA:").want(http.StatusUnprocessableEntity)
	alice.chunk(id, 0, first, "X-Nothing", "x").want(http.StatusUnprocessableEntity)
	alice.chunk(id, 0, first+"a").want(http.StatusRequestEntityTooLarge)
	alice.chunk(id, 0, "").want(http.StatusUnprocessableEntity)
	alice.chunk(id, -1, first).want(http.StatusUnprocessableEntity)
	bob.chunk(id, 0, first).want(http.StatusNotFound)
	bob.ask(http.MethodDelete, "/uploads/"+id, nil).want(http.StatusNotFound)
	bob.get("/uploads/" + id).want(http.StatusNotFound)
	bob.get("/uploads/" + id + "/events").want(http.StatusNotFound)
	alice.get("/uploads/nothing").want(http.StatusNotFound)
	stands(0, uploads.Receiving)

	answer := decode[uploadView](alice.chunk(id, 0, first).want(http.StatusOK))
	same(t, []any{answer.Offset, answer.State, answer.Name, answer.Fingerprint}, []any{int64(len(first)), uploads.Receiving, "box.mbox", "f"})
	due(alice.chunk(id, 0, first), len(first)) // its answer was lost
	alice.chunk(id, len(first), second+"more").want(http.StatusUnprocessableEntity)
	stands(len(first), uploads.Receiving)
	alice.chunk(id, len(first), second).want(http.StatusOK)
	stands(size, uploads.Waiting)
	alice.chunk(id, size, "x").want(http.StatusConflict)
	key, err := events.ParseUUID(id)
	w.Must(err)
	if stored, err := os.ReadFile(w.store.Path(key)); err != nil || string(stored) != first+second {
		t.Errorf("%d bytes are stored, %v", len(stored), err)
	}
	if left, err := os.ReadDir(filepath.Join(w.dir, "incoming")); err != nil || len(left) > 0 {
		t.Errorf("chunks are left: %v, %v", left, err)
	}
	list := decode[struct {
		Accepted  bool
		UsedBytes int64 `json:"used_bytes"`
		Uploads   []uploadView
	}](alice.get("/uploads").want(http.StatusOK))
	if !list.Accepted || list.UsedBytes != int64(size) || len(list.Uploads) != 1 {
		t.Errorf("%+v", list)
	}
	alice.ask(http.MethodDelete, "/uploads/"+id, nil).want(http.StatusNoContent)
	alice.get("/uploads/" + id).want(http.StatusNotFound)
	if _, err := os.Stat(w.store.Folder(key)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

func TestWhatCannotBeAnnounced(t *testing.T) {
	w := takesUploads(t, uploads.Limits{Quota: 100, Unfinished: 2, Expires: time.Hour, Kept: time.Hour})
	alice := w.person("alice")
	f := func(status int, body map[string]any) {
		t.Helper()
		alice.post("/uploads", body).want(status)
	}
	f(http.StatusUnprocessableEntity, map[string]any{"name": "empty.mbox", "size": 0})
	f(http.StatusUnprocessableEntity, map[string]any{"name": "", "size": 1})
	f(http.StatusUnprocessableEntity, map[string]any{"name": "\u0001", "size": 1})
	f(http.StatusUnprocessableEntity, map[string]any{"name": "a", "size": 1, "sha256": "abc"})
	f(http.StatusRequestEntityTooLarge, map[string]any{"name": "large.mbox", "size": 101})
	same(t, alice.announceFile(50) != "", true)
	f(http.StatusRequestEntityTooLarge, map[string]any{"name": "large.mbox", "size": 51})
	alice.announceFile(50)
	f(http.StatusTooManyRequests, map[string]any{"name": "third.mbox", "size": 1})
	w.person("bob").announceFile(100)

	// The same key announces once.
	carol := w.person("carol")
	body := map[string]any{"name": "a", "size": 1}
	once := decode[uploadView](carol.post("/uploads", body, "Idempotency-Key", "k").want(http.StatusCreated))
	again := decode[uploadView](carol.post("/uploads", body, "Idempotency-Key", "k").want(http.StatusCreated))
	same(t, once.ID, again.ID)
	same(t, w.Int(`SELECT count(*) FROM uploads WHERE user_id = 'carol'`), 1)
}

// Two clients send the same file at the same time: each chunk is stored once, and both get to the end.
func TestTwoClientsSendOneFile(t *testing.T) {
	w := takesUploads(t, uploads.DefaultLimits())
	alice := w.person("alice")
	var content strings.Builder
	for i := range 40 {
		content.WriteString(strings.Repeat(string(rune('a'+i%26)), 10_000))
	}
	text := content.String()
	id := alice.announceFile(len(text))
	var clients sync.WaitGroup
	for client := range 2 {
		clients.Go(func() {
			for at := 0; at < len(text); {
				answer := alice.chunk(id, at, text[at:min(at+7_000+client, len(text))])
				switch answer.status {
				case http.StatusOK:
					at = int(decode[uploadView](answer).Offset)
				case http.StatusConflict:
					if at = int(decode[offsetConflict](answer).Offset); at == 0 {
						at = len(text) // the other one has sent the last chunk
					}
				default:
					t.Errorf("%d %s", answer.status, answer.body)
					return
				}
			}
		})
	}
	clients.Wait()
	key, err := events.ParseUUID(id)
	w.Must(err)
	if stored, err := os.ReadFile(w.store.Path(key)); err != nil || string(stored) != text {
		t.Errorf("%d bytes of %d are stored, %v", len(stored), len(text), err)
	}
	if _, state := alice.offset(id); state != uploads.Waiting {
		t.Errorf("it is %s", state)
	}
}

// What a crash left of a chunk is written over, and bytes that a disk has lost are due again.
func TestTheFileCounts(t *testing.T) {
	w := takesUploads(t, uploads.DefaultLimits())
	alice := w.person("alice")
	id := alice.announceFile(9)
	alice.chunk(id, 0, "abc").want(http.StatusOK)
	key, err := events.ParseUUID(id)
	w.Must(err)
	w.Must(os.WriteFile(w.store.Path(key), []byte("abcXX"), 0o600)) // a process was killed in between
	alice.chunk(id, 3, "def").want(http.StatusOK)
	w.Must(os.Truncate(w.store.Path(key), 4))
	if due := decode[offsetConflict](alice.chunk(id, 6, "ghi").want(http.StatusConflict)).Offset; due != 4 {
		t.Errorf("due is %d", due)
	}
	alice.chunk(id, 4, "efghi").want(http.StatusOK)
	if stored, err := os.ReadFile(w.store.Path(key)); err != nil || string(stored) != "abcdefghi" {
		t.Errorf("%s, %v", stored, err)
	}
	// A server that is started anew knows as much.
	store, err := uploads.Open(w.Pool, w.dir, uploads.DefaultLimits())
	w.Must(err)
	if u, err := store.Find(w.Context(), "alice", key); err != nil || u.State != uploads.Waiting {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestSweep(t *testing.T) {
	w := takesUploads(t, uploads.DefaultLimits())
	alice, bob := w.person("alice"), w.person("bob")
	old, fresh, erased := alice.announceFile(9), alice.announceFile(9), bob.announceFile(9)
	for _, p := range []struct {
		*person
		id string
	}{{alice, old}, {alice, fresh}, {bob, erased}} {
		p.chunk(p.id, 0, "abc").want(http.StatusOK)
	}
	w.Exec(`UPDATE uploads SET updated_at = now() - interval '4 days' WHERE id = $1`, old)
	w.Exec(`DELETE FROM users WHERE id = 'bob'`)
	w.Must(os.WriteFile(filepath.Join(w.dir, "not ours"), nil, 0o600))
	left := filepath.Join(w.dir, "incoming", "chunk-1")
	w.Must(os.WriteFile(left, nil, 0o600))
	w.Must(os.Chtimes(left, time.Time{}, time.Now().Add(-2*time.Hour)))
	w.Must(w.store.Sweep(w.Context()))
	entries, err := os.ReadDir(w.dir)
	w.Must(err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	same(t, len(names), 3)
	same(t, strings.Contains(strings.Join(names, " "), fresh), true)
	alice.get("/uploads/" + old).want(http.StatusNotFound)
	alice.get("/uploads/" + fresh).want(http.StatusOK)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an abandoned chunk is left: %v", err)
	}
}

func TestWithoutUploads(t *testing.T) {
	w := newDeployment(t)
	alice := w.person("alice")
	problem := alice.post("/uploads", map[string]any{"name": "a", "size": 1}).want(http.StatusForbidden).problem()
	if !strings.Contains(problem.Detail, "UPLOADS_DIR") {
		t.Error(problem.Detail)
	}
	id := events.NewUUIDv7(time.Now()).String()
	alice.chunk(id, 0, "x").want(http.StatusForbidden)
	alice.get("/uploads/" + id).want(http.StatusNotFound)
	alice.get("/uploads").want(http.StatusOK)
	alice.post("/demo", nil).want(http.StatusForbidden)
	alice.ask(http.MethodDelete, "/demo", nil).want(http.StatusNotFound)
}

// A chunk may take long, as long as it does not stand still.
func TestSlowChunks(t *testing.T) {
	w := takesUploads(t, uploads.DefaultLimits())
	alice := w.person("alice")
	s := w.handler.(*server)
	s.bodyFor = 300 * time.Millisecond
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	send := func(id string, body io.Reader, text string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(w.Context(), http.MethodPut, server.URL+"/uploads/"+id+"?offset=0", body)
		w.Must(err)
		r.Header.Set("Authorization", "Bearer "+alice.token)
		r.Header.Set("Content-Digest", digest(text))
		r.ContentLength = int64(len(text))
		answer, err := http.DefaultClient.Do(r)
		w.Must(err)
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	pieces := func(count int) (io.Reader, string) {
		in, out := io.Pipe()
		go func() {
			tick := time.NewTicker(s.bodyFor / 3)
			defer tick.Stop()
			for range count {
				<-tick.C
				if _, err := out.Write([]byte("ab")); err != nil {
					return
				}
			}
		}()
		t.Cleanup(func() { _ = in.Close() })
		return in, strings.Repeat("ab", 6)
	}
	id := alice.announceFile(12)
	body, text := pieces(6)
	if answer := send(id, body, text); answer.StatusCode != http.StatusOK {
		t.Errorf("a slow chunk: %s", answer.Status)
	}
	id = alice.announceFile(12)
	body, text = pieces(3)
	if answer := send(id, body, text); answer.StatusCode != http.StatusRequestTimeout {
		t.Errorf("a chunk that stands still: %s", answer.Status)
	}
	if at, _ := alice.offset(id); at != 0 {
		t.Errorf("%d bytes of it are stored", at)
	}
}

func TestDemo(t *testing.T) {
	w := takesUploads(t, uploads.DefaultLimits())
	alice, bob := w.person("alice"), w.person("bob")
	type answer struct {
		UserID string `json:"user_id"`
		Until  time.Time
	}
	made := decode[answer](alice.post("/demo", nil).want(http.StatusCreated))
	same(t, decode[answer](alice.post("/demo", nil).want(http.StatusCreated)), made)
	same(t, w.Int(`SELECT count(*) FROM uploads WHERE user_id = $1 AND state = 'waiting'`, made.UserID), 1)
	bob.post("/demo", nil).want(http.StatusServiceUnavailable)
	bob.ask(http.MethodDelete, "/demo", nil).want(http.StatusNotFound)

	link, err := w.users.CreateToken(w.Context(), made.UserID, auth.Login, "", time.Now().Add(time.Minute))
	w.Must(err)
	session, err := w.users.SignIn(w.Context(), auth.Login, link, "", "")
	w.Must(err)
	as := func(method, path string, body any) *reply {
		t.Helper()
		return w.ask("", method, path, body, "Cookie", auth.Cookie+"="+session)
	}
	if got := decode[demoState](as(http.MethodGet, "/demo", nil).want(http.StatusOK)); got.Body.Offered {
		t.Error("a demo person is offered another")
	}
	as(http.MethodPost, "/demo", nil).want(http.StatusForbidden)
	as(http.MethodPost, "/uploads", map[string]any{"name": "a", "size": 1}).want(http.StatusForbidden)
	as(http.MethodGet, "/ops/lag", nil).want(http.StatusNotFound) // no operations are registered here
	as(http.MethodDelete, "/demo", nil).want(http.StatusNoContent)
	as(http.MethodGet, "/demo", nil).want(http.StatusUnauthorized)
	same(t, w.Int(`SELECT count(*) FROM users WHERE id = $1`, made.UserID), 0)
	same(t, w.Int(`SELECT count(*) FROM outbox WHERE user_id = $1 AND type = 'applylens.user.erased.v1'`, made.UserID), 2)

	alice.post("/demo", nil).want(http.StatusCreated)
	alice.ask(http.MethodDelete, "/demo", nil).want(http.StatusNoContent)
	bob.post("/demo", nil).want(http.StatusCreated)
}

// The stream tells of every change, and ends when nothing more will come.
func TestUploadEvents(t *testing.T) {
	w := takesUploads(t, uploads.DefaultLimits())
	alice := w.person("alice")
	id := alice.announceFile(3)
	key, err := events.ParseUUID(id)
	w.Must(err)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, server.URL+"/uploads/"+id+"/events", nil)
	w.Must(err)
	r.Header.Set("Authorization", "Bearer "+alice.token)
	answer, err := http.DefaultClient.Do(r)
	w.Must(err)
	defer answer.Body.Close()
	var seen bytes.Buffer
	await := func(text string) {
		t.Helper()
		buffer := make([]byte, 4096)
		for !strings.Contains(seen.String(), text) {
			n, err := answer.Body.Read(buffer)
			seen.Write(buffer[:n])
			if err != nil && !strings.Contains(seen.String(), text) {
				t.Fatalf("%v before %s in %s", err, text, &seen)
			}
		}
	}
	await(`"state":"receiving"`)
	alice.chunk(id, 0, "abc").want(http.StatusOK)
	await(`"state":"waiting"`)
	there, err := w.store.Note(w.Context(), key, uploads.Progress{Read: 3, Imported: 2})
	if !there || err != nil {
		t.Fatal(there, err)
	}
	await(`"imported":2`)
	w.Must(w.store.Finish(w.Context(), key, uploads.Failed, "no mail", nil))
	await("event: done")
	if rest, err := io.ReadAll(answer.Body); err != nil {
		t.Errorf("%s, %v", rest, err)
	}
	w.ask(alice.token, http.MethodGet, "/uploads/"+id+"/events", nil, "Last-Event-ID", id+".end").want(http.StatusNoContent)
}
