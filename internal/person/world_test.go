package person_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/consumers/policystats"
	"github.com/applylens/applylens/consumers/weights"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/api"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/metrics"
	"github.com/applylens/applylens/internal/outbox"
	search "github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/producers/mailimport"
	"github.com/applylens/applylens/producers/relay"
)

// otherKey is the key of records that stand in the wrong place.
const otherKey = "somebody else"

const (
	partitions = 3
	patience   = 60 * time.Second
)

// world is a whole deployment in this process, but for the broker's disk: what it logs and counts is kept.
type world struct {
	t        *testing.T
	pool     *pgxpool.Pool
	conn     *broker.Conn
	producer *kgo.Client
	users    *auth.Store
	handler  http.Handler
	groups   []*consumers.Group
	registry *prometheus.Registry
	logs     *testenv.LogBuffer
	log      *slog.Logger
	signal   *outbox.Signal
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool, _ := testenv.Database(t)
	_, settings := testenv.Kfake(t)
	conn, err := broker.Open(settings)
	must(t, err)
	t.Cleanup(conn.Close)
	must(t, conn.EnsureTopics(t.Context(), broker.Layout{Partitions: partitions, ReplicationFactor: 1}))
	producer, err := kgo.NewClient(kgo.SeedBrokers(settings.KafkaBrokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, err)
	t.Cleanup(producer.Close)
	w := &world{t: t, conn: conn, producer: producer, logs: &testenv.LogBuffer{}, signal: outbox.NewSignal()}
	w.log = slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.use(pool)
	return w
}

// use makes a database the deployment's, as a restore does.
func (w *world) use(pool *pgxpool.Pool) {
	w.t.Helper()
	labels, err := metrics.NewUserLabel(metrics.UserPlain, nil) // the harshest mode
	must(w.t, err)
	w.pool, w.users, w.registry = pool, auth.NewStore(pool), prometheus.NewRegistry()
	w.groups = []*consumers.Group{weights.Group(w.registry, labels), policystats.Group(w.registry, labels), mailbox.Group()}
	w.handler, err = api.New(api.Config{Pool: pool, Search: search.New(pool), Log: w.log, Registry: w.registry, Wake: w.signal.Set})
	must(w.t, err)
}

func (w *world) config(group *consumers.Group) consumers.Config {
	return consumers.Config{
		Group: group, Broker: w.conn, Pool: w.pool, Log: w.log, Metrics: consumers.NewMetrics(prometheus.NewRegistry()), Owner: "test",
		SessionTimeout: 6 * time.Second, BatchLinger: 20 * time.Millisecond,
	}
}

// fold runs all groups until the returned function is called or the test ends.
func (w *world) fold() (stop func()) {
	var stops []func()
	for _, group := range w.groups {
		cfg := w.config(group)
		stops = append(stops, w.run(func(ctx context.Context) error { return consumers.Run(ctx, cfg) }))
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// relay publishes the outbox until the returned function is called or the test ends.
func (w *world) relay() (stop func()) {
	cfg := relay.Config{Pool: w.pool, Conn: w.conn, Log: w.log, Signal: w.signal}
	return w.run(func(ctx context.Context) error { return relay.Run(ctx, cfg) })
}

func (w *world) run(work func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- work(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("it ended with %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// settled waits until everything is published, and every group has folded its topic to the end.
func (w *world) settled() {
	w.t.Helper()
	w.until("everything is published", func() (bool, string) {
		waiting := scalar[int](w, "SELECT count(*) FROM outbox WHERE published_at IS NULL")
		return waiting == 0, fmt.Sprint(waiting, " rows wait")
	})
	for _, group := range w.groups {
		ends, err := w.conn.Admin.ListEndOffsets(w.t.Context(), w.conn.Topic(group.Topic))
		must(w.t, err)
		var want int64
		ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
		w.until(group.Name+" is at the end", func() (bool, string) {
			have := scalar[int64](w, `
				SELECT COALESCE(sum(next_offset), 0)::bigint FROM positions p
				JOIN projections j ON j.group_name = p.group_name AND j.live_version = p.version
				WHERE p.group_name = $1`, group.Name)
			return have == want, fmt.Sprintf("%d of %d", have, want)
		})
	}
}

// until polls until ready says so, and fails the test with what it last said otherwise.
func (w *world) until(what string, ready func() (bool, string)) {
	w.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		ok, state := ready()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("waited in vain until %s: %s\n%s", what, state, w.logs)
		}
	}
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql, args...)
	must(w.t, err)
}

func scalar[T any](w *world, sql string, args ...any) T {
	w.t.Helper()
	var value T
	must(w.t, w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&value))
	return value
}

// person is somebody of whose data every piece holds the same word, where a person's data can hold any.
type person struct {
	*world
	id, word, token string
}

// newPerson makes a person with addresses, a token and a policy.
func (w *world) newPerson(word string) *person {
	w.t.Helper()
	p := &person{world: w, id: "user-" + word, word: word}
	_, err := w.users.CreateUser(w.t.Context(), auth.User{ID: p.id, Roles: []string{auth.Owner}, Addresses: []string{word + "@home.example"}})
	must(w.t, err)
	p.token, err = w.users.CreateToken(w.t.Context(), p.id, auth.Bearer, word+"'s laptop", time.Time{})
	must(w.t, err)
	p.ask(http.MethodPost, "/policy", http.StatusCreated, map[string]any{
		"name": "About " + word, "condition": map[string]any{"contains": []any{"subject", word}}, "action": "archive_email", "priority": 1,
	})
	return p
}

// ask sends a request with an idempotency key of the person's and returns the answer's body.
func (p *person) ask(method, path string, status int, body any) []byte {
	p.t.Helper()
	text, err := json.Marshal(body)
	must(p.t, err)
	r := httptest.NewRequestWithContext(p.t.Context(), method, path, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+p.token)
	if method == http.MethodPost {
		r.Header.Set("Idempotency-Key", fmt.Sprintf("%s-%d", p.word, time.Now().UnixNano()))
	}
	recorder := httptest.NewRecorder()
	p.handler.ServeHTTP(recorder, r)
	if recorder.Code != status {
		p.t.Fatalf("%s %s: status %d, want %d: %s", method, path, recorder.Code, status, recorder.Body)
	}
	return recorder.Body.Bytes()
}

// receive imports mails, numbered from first.
func (p *person) receive(first, count int) {
	p.t.Helper()
	var mbox strings.Builder
	for n := first; n < first+count; n++ {
		fmt.Fprintf(&mbox, "From x Mon Nov  2 12:00:00 2026\nMessage-ID: <%d@%s.example>\nDate: Mon, 02 Nov 2026 12:%02d:00 +0000\n"+
			"From: %[2]s <news@%[2]s.example>\nTo: %[2]s+%[1]d@home.example\nDelivered-To: %[2]s+own@home.example\n"+
			"List-Id: <%[2]s.lists.example>\nSubject: Big sale for %[2]s\nX-Gmail-Labels: %[2]s\n\nDear %[2]s!\n\n", n, p.word, n%60)
	}
	result, err := mailimport.Run(p.t.Context(), p.conn, mailimport.Config{
		Path: mailimport.Stdin, Stdin: strings.NewReader(mbox.String()), UserID: p.id, Now: time.Now, Log: p.log,
	})
	must(p.t, err)
	if result.Imported != count {
		p.t.Fatalf("%d mails imported, want %d", result.Imported, count)
	}
}

// decide lets the policies propose on all mail, and takes each kind of decision.
func (p *person) decide() {
	p.t.Helper()
	var actions []struct{ ID string }
	must(p.t, json.Unmarshal(p.ask(http.MethodPost, "/actions/propose", http.StatusOK, map[string]any{}), &actions))
	if len(actions) < 4 {
		p.t.Fatalf("%d proposals, want 4 or more", len(actions))
	}
	for i, verdict := range []string{"approve", "reject", "approve"} {
		p.ask(http.MethodPost, "/actions/"+actions[i].ID+"/"+verdict, http.StatusOK, nil)
	}
	p.ask(http.MethodPost, "/actions/"+actions[2].ID+"/revert", http.StatusOK, nil)
	p.ask(http.MethodPost, "/actions/"+actions[3].ID+"/always", http.StatusOK, nil)
	p.ask(http.MethodPut, "/preferences/listid:"+p.word+".lists.example", http.StatusOK, map[string]any{"weight": 2})
	p.ask(http.MethodDelete, "/preferences/sender_domain:"+p.word+".example", http.StatusNoContent, nil)
	mail := scalar[string](p.world, "SELECT id::text FROM live_mails WHERE user_id = $1 LIMIT 1", p.id)
	p.ask(http.MethodPost, "/actions/performed", http.StatusOK, map[string]any{"email_id": mail, "action": "create_task"})
}

// foreign publishes what other producers say of the person, with numbers of their own: what is good, what is broken, and
// what stands under another's key.
func (p *person) foreign(n int) {
	p.t.Helper()
	pin := p.record(p.id, &events.Event{
		Envelope: events.Envelope{Type: events.TypePreferenceChanged, ID: fmt.Sprint("pin-", p.word, n), Source: "/upstream"},
		Preference: &events.Preference{UserID: p.id, Op: events.PreferencePin, Feature: "sender_domain:" + p.word + ".example",
			Weight: 1, RecordedAt: time.Now()},
	})
	broken := p.record(p.id, p.decision(2*n))
	broken.Value = fmt.Appendf(nil, `{"user_id":%q,"mail":{"subject":"%s`, p.id, p.word)
	stray := p.record(otherKey, p.decision(2*n))
	p.publish(pin, p.record(p.id, p.decision(2*n+1)), broken, stray)
}

func (p *person) decision(n int) *events.Event {
	id := events.DeriveUUID("test action", p.id, fmt.Sprint(n))
	return &events.Event{
		Envelope: events.Envelope{Type: events.TypeActionApproved, ID: "ce-" + id.String(), Source: "/upstream"},
		Action: &events.Action{ActionID: id, UserID: p.id, PolicyID: 7, Action: "archive_email", Confidence: 0.7,
			ProposedAt: time.Now(), DecidedAt: time.Now(), RecordedAt: time.Now(),
			Features: []string{"sender_domain:" + p.word + ".example"}, HasFeatures: true, FeatureRule: events.FeatureRule,
			Mail: events.MailRef{ID: "mail-" + p.word, Subject: "Hello " + p.word}},
	}
}

// record encodes an event under a key.
func (w *world) record(key string, e *events.Event) *kgo.Record {
	w.t.Helper()
	encoded, err := events.Encode(e)
	must(w.t, err)
	record := &kgo.Record{Topic: w.conn.Topic(e.Topic()), Key: []byte(key), Value: encoded.Value,
		Partition: int32(events.Partition([]byte(key), partitions))}
	for _, h := range encoded.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return record
}

func (w *world) publish(records ...*kgo.Record) {
	w.t.Helper()
	must(w.t, w.producer.ProduceSync(w.t.Context(), records...).FirstErr())
}

// letters returns the ids of the open dead letters of a group, oldest first.
func (w *world) letters(group string) []int64 {
	w.t.Helper()
	list, err := consumers.ListDeadLetters(w.t.Context(), w.pool, consumers.DeadLetterFilter{Group: group, State: "open", Limit: 100})
	must(w.t, err)
	ids := make([]int64, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return ids
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
