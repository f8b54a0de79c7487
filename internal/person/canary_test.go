package person_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/consumers/rebuild"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	erasing "github.com/applylens/applylens/internal/person"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

// found is where a word stands: the rows of each table.
type found map[string]int

func (f found) tables() []string { return slices.Sorted(maps.Keys(f)) }

// holding selects the rows of a table in which a word stands, $1, or in one of its forms.
const holding = ` t WHERE position(lower($1) IN lower(t::text)) > 0 OR t::text ~ $2`

// find looks for a word in every row of every table, as text, in bytes and in what is stored as base64, whatever
// the case.
func (w *deployment) find(word string) found {
	w.Helper()
	hits := found{}
	for _, table := range w.tables() {
		count := world.Scalar[int](w, "SELECT count(*) FROM "+table+holding, word, forms(word))
		if count > 0 {
			hits[table] = count
		}
	}
	return hits
}

// tables lists everything that PostgreSQL stores rows of, but for its own.
func (w *deployment) tables() []string {
	w.Helper()
	return world.Column[string](w, `
		SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1`)
}

// forms is a pattern of the forms in which a word stands in bytes and in base64.
func forms(word string) string {
	list := []string{hex.EncodeToString([]byte(word))}
	for before := range 3 { // bytes that share base64's groups of three with the word
		text := base64.StdEncoding.EncodeToString(append(make([]byte, before), word...))
		start, end := (before*8+5)/6, (before+len(word))*8/6
		list = append(list, text[start:end])
	}
	return strings.Join(list, "|")
}

// digests sums up the rows that hold a word, by table.
func (w *deployment) digests(word string) map[string]string {
	w.Helper()
	sums := map[string]string{}
	for _, table := range w.find(word).tables() {
		sums[table] = world.Scalar[string](w, "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM "+table+holding, word, forms(word))
	}
	return sums
}

func (w *deployment) metrics() string {
	w.Helper()
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return recorder.Body.String()
}

func TestFindSeesEveryForm(t *testing.T) {
	w := newDeployment(t)
	w.Exec(`CREATE TABLE odd (a text, b bytea, c jsonb, d text[])`)
	for _, insert := range []string{
		`INSERT INTO odd (a) VALUES ('xCanaryx')`, `INSERT INTO odd (b) VALUES ('\x00' || 'canary'::bytea || '\xff')`,
		`INSERT INTO odd (c) VALUES ('{"a":["canary"]}')`, `INSERT INTO odd (d) VALUES ('{a,"x canary"}')`,
		`INSERT INTO odd (a) VALUES (encode('canary', 'base64'))`, `INSERT INTO odd (a) VALUES (encode('1canary1', 'base64'))`,
		`INSERT INTO odd (a) VALUES (encode('22canary', 'base64'))`, `INSERT INTO odd (a) VALUES ('can ary')`,
	} {
		w.Exec(insert)
	}
	if diff := cmp.Diff(found{"public.odd": 7}, w.find("canary")); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
}

const (
	canary    = "canary7f3a"
	bystander = "bystander91"
)

// A person is everywhere; is erased while the groups are behind; and is nowhere, now and after a rebuild. Somebody else
// keeps everything.
func TestNothingIsLeftOfAnErasedPerson(t *testing.T) {
	w := newDeployment(t)
	testenv.Index(t, w.Pool) // so that marks name persons too
	w.relay()
	stop := w.fold()
	ann, bob := w.newPerson(canary), w.newPerson(bystander)
	for _, p := range []*person{ann, bob} {
		p.receive(0, 5)
		w.settled()
		p.decide()
		p.foreign(0)
		p.foreign(1)
	}
	w.settled()
	w.disposeOfLetters()
	w.retire("weights", "mailbox")
	w.settled()
	stop()
	for _, p := range []*person{ann, bob} { // what nobody has folded when the person is erased
		p.receive(5, 2)
		p.foreign(2)
		w.Must(w.buildPart("policystats"))
	}
	everywhere := []string{
		"public.account_folders", "public.account_leases", "public.account_mails", "public.accounts", "public.actions", "public.chat_streams", "public.chat_usage", "public.dead_letters", "public.dirty_addresses", "public.forgotten_features", "public.idempotency_keys",
		"public.mail_addresses_1", "public.mail_addresses_2", "public.mail_correspondents_1", "public.mail_correspondents_2",
		"public.mails_1", "public.mails_2", "public.new_mails", "public.outbox", "public.own_addresses", "public.performed_actions", "public.policies",
		"public.policy_days_1", "public.policy_days_2", "public.tokens", "public.uploads", "public.users", "public.weight_counts_1", "public.weight_counts_2",
	}
	if diff := cmp.Diff(everywhere, w.find(canary).tables()); diff != "" {
		t.Fatalf("tables with the person before the erasure (-want +got):\n%s", diff)
	}
	if !strings.Contains(w.metrics(), canary) {
		t.Fatal("no metric names the person, so that nothing can be shown")
	}
	before := w.digests(bystander)

	_, err := erasing.Erase(t.Context(), w.Pool, ann.id)
	w.Must(err)
	w.onlyTheOrderIsLeft("after the commit")
	if diff := cmp.Diff(before, w.digests(bystander)); diff != "" {
		t.Errorf("of somebody else (-before +after):\n%s", diff)
	}
	ann.ask(http.MethodGet, "/actions/tray", http.StatusUnauthorized, nil)

	w.fold()
	w.settled()
	w.onlyTheOrderIsLeft("after the fold")
	if strings.Contains(w.metrics(), canary) {
		t.Errorf("the metrics name the person:\n%s", w.metrics())
	}
	if !strings.Contains(w.metrics(), bystander) {
		t.Error("the metrics have lost somebody else")
	}
	_, err = outbox.Prune(t.Context(), w.Pool, 0)
	w.Must(err)
	for _, group := range w.groups {
		_, err := rebuild.Run(t.Context(), w.config(group), false)
		w.Must(err)
	}
	if diff := cmp.Diff(found{}, w.find(canary)); diff != "" {
		t.Errorf("after a rebuild of everything (-want +got):\n%s", diff)
	}
	if log := w.Logs.String(); strings.Contains(log, canary) || strings.Contains(log, bystander) {
		t.Errorf("the logs name a person:\n%s", log)
	}
	bob.ask(http.MethodGet, "/actions/tray", http.StatusOK, nil)

	w.controlled()
}

// onlyTheOrderIsLeft holds that the person is in the outbox's user.erased, which has to go out, and nowhere else.
func (w *deployment) onlyTheOrderIsLeft(when string) {
	w.Helper()
	if diff := cmp.Diff(found{"public.outbox": 2}, w.find(canary)); diff != "" {
		w.Errorf("%s (-want +got):\n%s", when, diff)
	}
	orders := world.Scalar[int](w, "SELECT count(*) FROM outbox WHERE type = $1 AND user_id = $2", events.TypeUserErased.String(), "user-"+canary)
	if orders != 2 {
		w.Errorf("%s: %d orders to erase in the outbox, want one for each topic", when, orders)
	}
}

// disposeOfLetters discards one dead letter of each person and leaves one redriven.
func (w *deployment) disposeOfLetters() {
	w.Helper()
	ids := w.letters("weights")
	if len(ids) != 8 {
		w.Fatalf("%d open dead letters, want 8", len(ids))
	}
	for i, id := range ids {
		switch i % 4 {
		case 0:
			w.Must(operate.Discard(w.Context(), w.Pool, id, "tester", "of no use"))
		case 1:
			w.Must(operate.Redrive(w.Context(), w.Pool, w.Conn, id, "tester", false))
		}
	}
}

// retire rebuilds groups and swaps the new versions in, so that the old ones stay as retired.
func (w *deployment) retire(groups ...string) {
	w.Helper()
	for _, group := range w.groups {
		if slices.Contains(groups, group.Name) {
			version, err := rebuild.Run(w.Context(), w.config(group), false)
			w.Must(err)
			_, err = rebuild.Swap(w.Context(), w.Pool, group.Name, version, -1, "tester", "test")
			w.Must(err)
		}
	}
}

// buildPart folds what the log has of a group into a version that is being built.
func (w *deployment) buildPart(name string) error {
	for _, group := range w.groups {
		if group.Name == name {
			_, err := rebuild.Run(w.Context(), w.config(group), false)
			return err
		}
	}
	return fmt.Errorf("no group %s", name)
}

// controlled proves that the search finds what a fold brings back that does not obey: each group is built once more,
// deaf to erasures.
func (w *deployment) controlled() {
	w.Helper()
	for _, group := range w.groups {
		building, found, err := ledger.Building(w.Context(), w.Pool, group.Name)
		w.Must(err)
		if found {
			w.Must(ledger.DropVersion(w.Context(), w.Pool, group.Projection(), building.Version))
		}
		deaf := *group
		deaf.Folds = slices.DeleteFunc(slices.Clone(group.Folds), func(kind events.Type) bool { return kind == events.TypeUserErased })
		if len(deaf.Folds) == len(group.Folds) {
			w.Fatalf("%s folds no erasure", group.Name)
		}
		_, err = rebuild.Run(w.Context(), w.config(&deaf), false)
		w.Must(err)
	}
	if diff := cmp.Diff([]string{"mail_addresses", "mail_correspondents", "mails", "policy_days", "weight_counts"}, parents(w.find(canary).tables())); diff != "" {
		w.Errorf("what deaf folds bring back (-want +got):\n%s", diff)
	}
}

// parents are the names of tables without schema and version.
func parents(tables []string) []string {
	var names []string
	for _, table := range tables {
		names = append(names, strings.TrimRight(strings.TrimPrefix(table, "public."), "_0123456789"))
	}
	return names
}
