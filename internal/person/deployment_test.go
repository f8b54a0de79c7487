package person_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/ledger"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/consumers/policystats"
	"github.com/applylens/applylens/consumers/weights"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/api"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/chat"
	"github.com/applylens/applylens/internal/metrics"
	search "github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/secrets"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/internal/uploads"
	"github.com/applylens/applylens/producers/mailimport"
	"github.com/applylens/applylens/producers/relay"
)

// otherKey is the key of records that stand in the wrong place.
const otherKey = "somebody else"

// deployment is a whole one in this process, but for the broker's disk: what it logs and counts is kept.
type deployment struct {
	*world.World
	users    *auth.Store
	handler  http.Handler
	groups   []*consumers.Group
	registry *prometheus.Registry
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	w := &deployment{World: world.New(t).Kfake()}
	w.Patience = time.Minute
	w.use(w.Pool)
	return w
}

// use makes a database the deployment's, as a restore does.
func (w *deployment) use(pool *pgxpool.Pool) {
	w.Helper()
	labels, err := metrics.NewUserLabel(metrics.UserPlain, nil) // the harshest mode
	w.Must(err)
	w.Pool, w.users, w.registry = pool, auth.NewStore(pool), prometheus.NewRegistry()
	w.groups = []*consumers.Group{weights.Group(w.registry, labels), policystats.Group(w.registry, labels), mailbox.Group()}
	store, err := uploads.Open(pool, filepath.Join(w.TempDir(), "uploads"), uploads.DefaultLimits())
	w.Must(err)
	w.handler, err = api.New(api.Config{Uploads: store, Pool: pool, Search: search.New(pool), Log: w.Logger, Registry: w.registry, Wake: w.Signal.Set, Model: silent{}, ModelBudget: 10})
	w.Must(err)
}

func (w *deployment) config(group *consumers.Group) consumers.Config {
	return grouptest.Config(w.World, group)
}

// silent is a language model that says nothing.
type silent struct{}

func (silent) Write(context.Context, chat.Prompt, func(string) bool) error { return nil }

// fold runs all groups until the returned function is called or the test ends.
func (w *deployment) fold() (stop func()) {
	var stops []func()
	for _, group := range w.groups {
		stops = append(stops, grouptest.Start(w.World, w.config(group)))
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// relay publishes the outbox until the returned function is called or the test ends.
func (w *deployment) relay() (stop func()) {
	cfg := relay.Config{Pool: w.Pool, Conn: w.Conn, Log: w.Logger, Signal: w.Signal}
	return w.Background("the relay", func(ctx context.Context) error { return relay.Run(ctx, cfg) })
}

// settled waits until everything is published, and every group has folded its topic to the end.
func (w *deployment) settled() {
	w.Helper()
	w.AwaitPublished()
	for _, group := range w.groups {
		w.AwaitFolded(group.Name, group.Topic)
	}
}

// person is somebody of whose data every piece holds the same word, where a person's data can hold any.
type person struct {
	*deployment
	id, word, token string
}

// newPerson makes a person with addresses, a token and a policy.
func (w *deployment) newPerson(word string) *person {
	w.Helper()
	p := &person{deployment: w, id: "user-" + word, word: word}
	_, err := w.users.CreateUser(w.Context(), auth.User{ID: p.id, Addresses: []string{word + "@home.example"}})
	w.Must(err)
	p.token, err = w.users.CreateToken(w.Context(), p.id, auth.Bearer, word+"'s laptop", time.Time{})
	w.Must(err)
	p.ask(http.MethodPost, "/policy", http.StatusCreated, map[string]any{
		"name": "About " + word, "condition": map[string]any{"contains": []any{"subject", word}}, "action": "archive_email", "priority": 1,
	})
	p.connect()
	return p
}

// connect gives the person a mail account that has a mail.
func (p *person) connect() {
	p.Helper()
	keys, err := secrets.Parse(secrets.Generate())
	p.Must(err)
	a := accounts.Account{UserID: p.id, Address: p.word + "@home.example", Host: p.word + ".example"}
	given := accounts.Entrusted{Password: secrets.New(p.word)}
	if faults := a.Validate(given); faults != nil {
		p.Fatal(faults)
	}
	added, err := accounts.Add(p.Context(), p.Pool, keys, a, given)
	p.Must(err)
	p.Exec(`WITH f AS (INSERT INTO account_folders (account_id, user_id, name, watched) VALUES ($1, $2, $3, true) RETURNING id)
		INSERT INTO account_mails (account_id, user_id, folder_id, uidvalidity, uid, message_id, content_hash, flags)
		SELECT $1, $2, f.id, 1, 1, $3, 'hash', '{}' FROM f`, added.ID, p.id, p.word)
}

// ask sends a request with an idempotency key of the person's and returns the answer's body.
func (p *person) ask(method, path string, status int, body any) []byte {
	p.Helper()
	text, err := json.Marshal(body)
	p.Must(err)
	r := httptest.NewRequestWithContext(p.Context(), method, path, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+p.token)
	if method == http.MethodPost {
		r.Header.Set("Idempotency-Key", fmt.Sprintf("%s-%d", p.word, time.Now().UnixNano()))
	}
	recorder := httptest.NewRecorder()
	p.handler.ServeHTTP(recorder, r)
	if recorder.Code != status {
		p.Fatalf("%s %s: status %d, want %d: %s", method, path, recorder.Code, status, recorder.Body)
	}
	return recorder.Body.Bytes()
}

// receive imports mails, numbered from first, that came a moment ago.
func (p *person) receive(first, count int) {
	p.Helper()
	var mbox strings.Builder
	at := time.Now().UTC()
	for n := first; n < first+count; n++ {
		fmt.Fprintf(&mbox, "From x Mon Nov  2 12:00:00 2026\nMessage-ID: <%d@%s.example>\nDate: %s\n"+
			"From: %[2]s <news@%[2]s.example>\nTo: %[2]s+%[1]d@home.example\nDelivered-To: %[2]s+own@home.example\n"+
			"List-Id: <%[2]s.lists.example>\nSubject: Big sale for %[2]s\nX-Gmail-Labels: %[2]s\n\nDear %[2]s!\n\n", n, p.word, at.Add(time.Duration(n-60)*time.Minute).Format(time.RFC1123Z))
	}
	result, err := mailimport.Run(p.Context(), p.Conn, mailimport.Config{
		Paths: []string{mailimport.Stdin}, Stdin: strings.NewReader(mbox.String()), UserID: p.id, Now: time.Now, Log: p.Logger,
	})
	p.Must(err)
	if result.Imported != count {
		p.Fatalf("%d mails imported, want %d", result.Imported, count)
	}
}

// decide lets the policies propose on all mail, and takes each kind of decision.
func (p *person) decide() {
	p.Helper()
	var actions []struct{ ID string }
	p.Must(json.Unmarshal(p.ask(http.MethodPost, "/actions/propose", http.StatusOK, map[string]any{}), &actions))
	if len(actions) < 4 {
		p.Fatalf("%d proposals, want 4 or more", len(actions))
	}
	for i, verdict := range []string{"approve", "reject", "approve"} {
		p.ask(http.MethodPost, "/actions/"+actions[i].ID+"/"+verdict, http.StatusOK, nil)
	}
	p.ask(http.MethodPost, "/actions/"+actions[2].ID+"/revert", http.StatusOK, nil)
	p.ask(http.MethodPost, "/actions/"+actions[3].ID+"/always", http.StatusOK, nil)
	p.ask(http.MethodPut, "/preferences/listid:"+p.word+".lists.example", http.StatusOK, map[string]any{"weight": 2})
	p.ask(http.MethodDelete, "/preferences/sender_domain:"+p.word+".example", http.StatusNoContent, nil)
	mail := world.Scalar[string](p, "SELECT id::text FROM live_mails WHERE user_id = $1 LIMIT 1", p.id)
	p.ask(http.MethodPost, "/actions/performed", http.StatusOK, map[string]any{"email_id": mail, "action": "create_task"})
	p.ask(http.MethodPost, "/uploads", http.StatusCreated, map[string]any{"name": p.word + ".mbox", "size": 10, "fingerprint": p.word})
	p.ask(http.MethodPost, "/chat", http.StatusCreated, map[string]any{"q": "find " + p.word})
	p.ask(http.MethodGet, "/chat/stream?window_days=3650&q=find+"+p.word, http.StatusOK, nil)
}

// foreign publishes what other producers say of the person, with numbers of their own: what is good, what is broken, and
// what stands under another's key.
func (p *person) foreign(n int) {
	p.Helper()
	pin := p.record(p.id, &events.Event{
		Envelope: events.Envelope{Type: events.TypePreferenceChanged, ID: fmt.Sprint("pin-", p.word, n), Source: "/upstream"},
		Preference: &events.Preference{UserID: p.id, Op: events.PreferencePin, Feature: "sender_domain:" + p.word + ".example",
			Weight: 1, RecordedAt: time.Now()},
	})
	broken := p.record(p.id, p.decision(2*n))
	broken.Value = fmt.Appendf(nil, `{"user_id":%q,"mail":{"subject":"%s`, p.id, p.word)
	stray := p.record(otherKey, p.decision(2*n))
	p.Publish(pin, p.record(p.id, p.decision(2*n+1)), broken, stray)
}

func (p *person) decision(n int) *events.Event {
	now := time.Now()
	return world.Decision(p.id, n, world.Features("sender_domain:"+p.word+".example"), func(e *events.Event) {
		e.Source = "/upstream"
		e.Action.ProposedAt, e.Action.DecidedAt, e.Action.RecordedAt = now, now, now
		e.Action.Mail = events.MailRef{ID: "mail-" + p.word, Subject: "Hello " + p.word}
	})
}

// record encodes an event under a key.
func (w *deployment) record(key string, e *events.Event) *kgo.Record {
	w.Helper()
	record := w.Record(e)
	record.Key, record.Partition = []byte(key), int32(w.PartitionOf(key))
	return record
}

// letters returns the ids of the open dead letters of a group, oldest first.
func (w *deployment) letters(group string) []int64 {
	w.Helper()
	list, err := ledger.DeadLetters(w.Context(), w.Pool, ledger.LetterFilter{Group: group, State: "open", Limit: 100})
	w.Must(err)
	ids := make([]int64, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return ids
}
