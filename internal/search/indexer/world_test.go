package indexer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/enrichment"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// patience bounds how long the indexer is waited for.
const patience = 30 * time.Second

// world is a deployment whose clock stands still, with a proxy in front of Elasticsearch.
type world struct {
	t        testing.TB
	pool     *pgxpool.Pool
	database string
	server   string // Elasticsearch itself
	prefix   string
	proxy    *proxy
	client   *elastic.Client

	log testenv.LogBuffer

	mu    sync.Mutex
	now   time.Time
	looks int // how often the clock was looked at
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: atNoon}
	w.pool, w.database = testenv.Database(t)
	w.server, w.prefix = testenv.Elasticsearch(t)
	w.proxy = startProxy(t, w.server)
	w.client = w.open(w.proxy.url)
	t.Cleanup(func() {
		if t.Failed() {
			text := w.log.String()
			t.Logf("log:\n%s", text[max(0, len(text)-8000):])
		}
	})
	return w
}

// atNoon is when worlds begin.
var atNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (w *world) open(address string) *elastic.Client {
	w.t.Helper()
	client, err := elastic.Open(config.Elasticsearch{ElasticsearchURL: []string{address}, ElasticsearchAlias: w.alias()})
	w.must(err)
	return client
}

func (w *world) alias() string { return w.prefix + "emails" }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(sql string, arguments ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(context.Background(), sql, arguments...)
	w.must(err)
}

func scalar[T any](w *world, sql string, arguments ...any) T {
	w.t.Helper()
	var value T
	w.must(w.pool.QueryRow(context.Background(), sql, arguments...).Scan(&value))
	return value
}

// clock is what the indexer is given.
func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	return w.now
}

// looksAgain waits until the indexer has looked for something to do some more times.
func (w *world) looksAgain(times int) {
	w.t.Helper()
	looks := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.looks
	}
	before := looks()
	w.eventually("the indexer looks again", func() error {
		if n := looks() - before; n < times {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
}

func (w *world) setClock(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = at
}

// config is that of an indexer that is quick to look.
func (w *world) config() Config {
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	c := Config{Pool: w.pool, Client: w.client, Log: log, Now: w.clock, Poll: 5 * time.Millisecond}
	w.must(c.Validate())
	return c
}

// start runs an indexer until the test ends or the function that it returns is called.
func (w *world) start(adjust ...func(*Config)) (stop func()) {
	w.t.Helper()
	c := w.config()
	for _, each := range adjust {
		each(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, c) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the indexer ended with %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// fold lets both groups fold events, each in a transaction of its own.
func (w *world) fold(part ...*events.Event) {
	w.t.Helper()
	for _, group := range []*consumers.Group{mailbox.Group(), enrichment.Group()} {
		w.must(foldInto(w.pool, group, consumers.Version{Number: w.liveVersion(group.Name)}, part))
	}
}

func (w *world) liveVersion(group string) int {
	return scalar[int](w, `SELECT live_version FROM projections WHERE group_name = $1`, group)
}

func foldInto(pool *pgxpool.Pool, group *consumers.Group, version consumers.Version, part []*events.Event) error {
	batch := group.NewBatch()
	for _, event := range part {
		if slices.Contains(group.Folds, event.Type) {
			batch.Add(event)
		}
	}
	ctx := context.Background()
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return batch.Write(ctx, tx, version) })
}

// eventually waits until ready returns nil.
func (w *world) eventually(what string, ready func() error) {
	w.t.Helper()
	testenv.Eventually(w.t, patience, 2*time.Millisecond, what, ready)
}

// settle waits until everything that was folded can be found.
func (w *world) settle() {
	w.t.Helper()
	asked := time.Now()
	w.eventually("the index is settled", func() error {
		settled, err := Settled(context.Background(), w.pool, "", asked, time.Now())
		if err == nil && !settled {
			err = fmt.Errorf("marks are left: %s", w.marks())
		}
		return err
	})
}

func (w *world) marks() string {
	return scalar[string](w, `SELECT concat_ws(' ', 'mails', (SELECT count(*) FROM dirty_mails), 'addresses', (SELECT count(*) FROM dirty_addresses),
		'versions', (SELECT count(*) FROM dirty_versions), (SELECT string_agg(name || ' ' || state, ', ') FROM search_indices))`)
}

// documents are what searches can find, by id, as Elasticsearch holds them.
func (w *world) documents() map[string]elastic.Document {
	w.t.Helper()
	found := map[string]elastic.Document{}
	after := ""
	for {
		page := w.page(after)
		if len(page) == 0 {
			return found
		}
		for _, document := range page {
			found[document.ID] = document
			after = document.ID
		}
	}
}

// count is how many documents searches can find.
func (w *world) count() int {
	w.t.Helper()
	response, err := http.Get(w.server + "/" + w.alias() + "/_count")
	w.must(err)
	defer response.Body.Close()
	var answer struct{ Count int }
	w.must(json.NewDecoder(response.Body).Decode(&answer))
	return answer.Count
}

// page asks the server itself, so that no fault of the proxy is in the way.
func (w *world) page(after string) []elastic.Document {
	w.t.Helper()
	body := map[string]any{"size": 5000, "sort": []string{"id"}, "query": map[string]any{"match_all": map[string]any{}}, "search_after": []string{after}}
	text, err := json.Marshal(body)
	w.must(err)
	response, err := http.Post(w.server+"/"+w.alias()+"/_search", "application/json", bytes.NewReader(text))
	w.must(err)
	defer response.Body.Close()
	var answer struct {
		Hits struct {
			Hits []struct {
				Source elastic.Document `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	w.must(json.NewDecoder(response.Body).Decode(&answer))
	if response.StatusCode != http.StatusOK {
		w.t.Fatalf("search: %s", response.Status)
	}
	var documents []elastic.Document
	for _, hit := range answer.Hits.Hits {
		hit.Source.Rev = 0 // whatever it is
		documents = append(documents, hit.Source)
	}
	return documents
}

// same holds that the index has what the tables say as of the clock, read one mail after the other.
func (w *world) same() {
	w.t.Helper()
	if diff := cmp.Diff(w.expected(), w.documents()); diff != "" {
		w.t.Fatalf("(-tables +index)\n%s", diff)
	}
}

// expected are the documents of all mails, in the form in which they come back.
func (w *world) expected() map[string]elastic.Document {
	w.t.Helper()
	rows, err := w.pool.Query(context.Background(), `SELECT id FROM live_mails`)
	w.must(err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	w.must(err)
	documents := map[string]elastic.Document{}
	for _, id := range all {
		rows, err := w.pool.Query(context.Background(), readMails, [][16]byte{id}, w.clock())
		w.must(err)
		for rows.Next() {
			mail, name, err := scan(rows)
			w.must(err)
			document := elastic.NewDocument(mail)
			document.Words.Body = "" // is not kept
			text, err := json.Marshal(document)
			w.must(err)
			var back elastic.Document
			w.must(json.Unmarshal(text, &back))
			documents[name] = back
		}
		w.must(rows.Err())
	}
	return documents
}

// put changes something in Elasticsearch behind the indexer's back.
func (w *world) put(method, path, body string) {
	w.t.Helper()
	request, err := http.NewRequest(method, w.server+"/"+path, bytes.NewReader([]byte(body)))
	w.must(err)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	w.must(err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		w.t.Fatalf("%s %s: %s: %s", method, path, response.Status, text)
	}
}

// liveIndex is the name of the index that is searched.
func (w *world) liveIndex() string {
	return scalar[string](w, `SELECT name FROM search_indices WHERE state = 'live'`)
}

// received returns the event of a mail.
func received(user, id string, adjust ...func(*events.Mail)) *events.Event {
	mail := &events.Mail{
		UserID: user, MessageID: id, Subject: "About " + id, Text: "some text of " + id, Sender: events.Address{Name: "Rita", Address: "rita@acme.com"},
		Recipients: []events.Address{{Address: user + "@example.org"}}, DeliveredTo: []string{user + "@example.org"},
		ReceivedAt: atNoon, RecordedAt: atNoon,
	}
	for _, each := range adjust {
		each(mail)
	}
	return &events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: mail}
}

// applied returns the event of an application at Acme.
func applied(id string, version int64, adjust ...func(*events.Application)) *events.Event {
	application := &events.Application{
		System: "lever", ApplicationID: id, Company: "Acme", Stage: "Onsite", LastStageChange: atNoon, SrcVersion: version, RecordedAt: atNoon,
	}
	for _, each := range adjust {
		each(application)
	}
	return &events.Event{Envelope: events.Envelope{Type: events.TypeApplicationChanged}, Application: application}
}

func by(addresses ...string) func(*events.Application) {
	return func(a *events.Application) { a.Addresses = addresses }
}

func inStage(stage string) func(*events.Application) {
	return func(a *events.Application) { a.Stage = stage }
}

func mailID(user, id string) string {
	return mailbox.MailID(&events.Mail{UserID: user, MessageID: id}).String()
}
