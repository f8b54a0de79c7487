package indexer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/enrichment"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

// deployment is one whose clock stands still, with a proxy in front of Elasticsearch.
type deployment struct {
	*world.World
	server string // Elasticsearch itself
	prefix string
	proxy  *proxy
	client *elastic.Client
}

func newDeployment(t testing.TB) *deployment {
	t.Helper()
	w := &deployment{World: world.New(t)}
	w.Tick = 2 * time.Millisecond
	w.SetClock(atNoon)
	w.server, w.prefix = testenv.Elasticsearch(t)
	w.proxy = startProxy(t, w.server)
	w.client = w.open(w.proxy.url)
	return w
}

// atNoon is when deployments begin.
var atNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (w *deployment) open(address string) *elastic.Client {
	w.Helper()
	client, err := elastic.Open(config.Elasticsearch{ElasticsearchURL: []string{address}, ElasticsearchAlias: w.alias()})
	w.Must(err)
	return client
}

func (w *deployment) alias() string { return w.prefix + "emails" }

// config is that of an indexer that is quick to look.
func (w *deployment) config(adjust ...func(*Config)) Config {
	w.Helper()
	c := Config{Pool: w.Pool, Client: w.client, Log: w.Logger, Now: w.Now, Poll: 5 * time.Millisecond}
	w.Must(c.Validate())
	for _, each := range adjust {
		each(&c)
	}
	return c
}

// indexer returns an indexer whose steps the test takes.
func (w *deployment) indexer(adjust ...func(*Config)) *indexer {
	w.Helper()
	c := w.config(adjust...)
	o, err := newObservers(c.Registry)
	w.Must(err)
	return newIndexer(c, o)
}

// start runs an indexer until the test ends or the function that it returns is called.
func (w *deployment) start(adjust ...func(*Config)) (stop func()) {
	w.Helper()
	c := w.config(adjust...)
	return w.Background("the indexer", func(ctx context.Context) error { return Run(ctx, c) })
}

// fold lets both groups fold events, each in a transaction of its own.
func (w *deployment) fold(part ...*events.Event) {
	w.Helper()
	for _, group := range []*consumers.Group{mailbox.Group(), enrichment.Group()} {
		w.Must(foldInto(w.Pool, group, consumers.Version{Number: w.liveVersion(group.Name)}, part))
	}
}

func (w *deployment) liveVersion(group string) int {
	return world.Scalar[int](w, `SELECT live_version FROM projections WHERE group_name = $1`, group)
}

func foldInto(pool *pgxpool.Pool, group *consumers.Group, version consumers.Version, part []*events.Event) error {
	batch := group.NewBatch()
	for _, event := range part {
		if slices.Contains(group.Folds, event.Type) {
			batch.Add(event)
		}
	}
	ctx := context.Background()
	return postgres.InTx(ctx, pool, func(tx *postgres.Tx) error { return batch.Write(ctx, tx, version) })
}

// settle waits until everything that was folded can be found.
func (w *deployment) settle() {
	w.Helper()
	asked := time.Now()
	w.Eventually("the index is settled", func() error {
		settled, err := Settled(context.Background(), w.Pool, "", asked, time.Now())
		if err == nil && !settled {
			err = fmt.Errorf("marks are left: %s", w.marks())
		}
		return err
	})
}

func (w *deployment) marks() string {
	return world.Scalar[string](w, `SELECT concat_ws(' ', 'mails', (SELECT count(*) FROM dirty_mails), 'addresses', (SELECT count(*) FROM dirty_addresses),
		'versions', (SELECT count(*) FROM dirty_versions), (SELECT string_agg(name || ' ' || state, ', ') FROM search_indices))`)
}

// documents are what searches can find, by id, as Elasticsearch holds them.
func (w *deployment) documents() map[string]elastic.Document {
	w.Helper()
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
func (w *deployment) count() int {
	w.Helper()
	response, err := http.Get(w.server + "/" + w.alias() + "/_count")
	w.Must(err)
	defer response.Body.Close()
	var answer struct{ Count int }
	w.Must(json.NewDecoder(response.Body).Decode(&answer))
	return answer.Count
}

// page asks the server itself, so that no fault of the proxy is in the way.
func (w *deployment) page(after string) []elastic.Document {
	w.Helper()
	body := map[string]any{"size": 5000, "sort": []string{"id"}, "query": map[string]any{"match_all": map[string]any{}}, "search_after": []string{after}}
	text, err := json.Marshal(body)
	w.Must(err)
	response, err := http.Post(w.server+"/"+w.alias()+"/_search", "application/json", bytes.NewReader(text))
	w.Must(err)
	defer response.Body.Close()
	var answer struct {
		Hits struct {
			Hits []struct {
				Source elastic.Document `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	w.Must(json.NewDecoder(response.Body).Decode(&answer))
	if response.StatusCode != http.StatusOK {
		w.Fatalf("search: %s", response.Status)
	}
	var documents []elastic.Document
	for _, hit := range answer.Hits.Hits {
		hit.Source.Rev = 0 // whatever it is
		documents = append(documents, hit.Source)
	}
	return documents
}

// same holds that the index has what the tables say as of the clock, read one mail after the other.
func (w *deployment) same() {
	w.Helper()
	if diff := cmp.Diff(w.expected(), w.documents()); diff != "" {
		w.Fatalf("(-tables +index)\n%s", diff)
	}
}

// expected are the documents of all mails, in the form in which they come back.
func (w *deployment) expected() map[string]elastic.Document {
	w.Helper()
	documents := map[string]elastic.Document{}
	for _, id := range world.Column[[16]byte](w, `SELECT id FROM live_mails`) {
		rows, err := w.Pool.Query(context.Background(), readMails, [][16]byte{id}, w.Now())
		w.Must(err)
		for rows.Next() {
			mail, name, err := scan(rows)
			w.Must(err)
			document := elastic.NewDocument(mail)
			document.Words.Body = "" // is not kept
			text, err := json.Marshal(document)
			w.Must(err)
			var back elastic.Document
			w.Must(json.Unmarshal(text, &back))
			documents[name] = back
		}
		w.Must(rows.Err())
	}
	return documents
}

// put changes something in Elasticsearch behind the indexer's back.
func (w *deployment) put(method, path, body string) {
	w.Helper()
	request, err := http.NewRequest(method, w.server+"/"+path, bytes.NewReader([]byte(body)))
	w.Must(err)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	w.Must(err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		w.Fatalf("%s %s: %s: %s", method, path, response.Status, text)
	}
}

// liveIndex is the name of the index that is searched.
func (w *deployment) liveIndex() string {
	return world.Scalar[string](w, `SELECT name FROM search_indices WHERE state = 'live'`)
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
