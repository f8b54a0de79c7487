package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/internal/uploads"
)

// routes are all operations of the document, so that a new one cannot be forgotten here.
func routes(t *testing.T, w *deployment) []*huma.Operation {
	t.Helper()
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(w.handler.(*server).document, &document); err != nil {
		t.Fatal(err)
	}
	var list []*huma.Operation
	for path, methods := range document.Paths {
		for method := range methods {
			list = append(list, &huma.Operation{Method: strings.ToUpper(method), Path: path})
		}
	}
	if len(list) < 12 {
		t.Fatalf("the document has only %d operations", len(list))
	}
	return list
}

func TestEveryRouteNeedsAuthentication(t *testing.T) {
	w := newDeployment(t)
	for _, op := range routes(t, w) {
		path := strings.NewReplacer("{id}", "1", "{feature}", "category:promo").Replace(op.Path)
		for _, path := range []string{path, "/api" + path} {
			if answer := w.ask("", op.Method, path, nil); answer.status != http.StatusUnauthorized {
				t.Errorf("%s %s answered %d without a token", op.Method, path, answer.status)
			}
		}
	}
}

// attempt is a request that aims at what is another's, and how it has to end.
type attempt struct {
	path   string
	body   any
	status int
}

// target is what alice has.
type target struct {
	policy              int64
	action              string
	proposed, untouched string // mails
	receipt             string // a mail
	event               string
	stream              string
	upload              string
	account             string
}

// attempts are what bob tries on each route. A route without a row is one whose isolation nobody has thought about.
func attempts(alice target) map[string][]attempt {
	policy, action := fmt.Sprint("/policy/", alice.policy), "/actions/"+alice.action
	mine := map[string]any{"name": "mine", "condition": json.RawMessage(anySubject), "action": "archive_email"}
	mails := map[string]any{"email_ids": []string{alice.proposed, alice.untouched}}
	refused := func(path string, bodies ...any) []attempt {
		list := []attempt{{path, nil, http.StatusNotFound}}
		for _, body := range bodies {
			list = append(list, attempt{path, body, http.StatusNotFound})
		}
		return list
	}
	return map[string][]attempt{
		"GET /policy":            {{"/policy", nil, http.StatusOK}},
		"POST /policy":           {{"/policy", mine, http.StatusCreated}},
		"GET /policy/{id}":       refused(policy),
		"PUT /policy/{id}":       {{policy, mine, http.StatusNotFound}},
		"DELETE /policy/{id}":    refused(policy),
		"POST /policy/{id}/test": refused(policy+"/test", mails),
		"POST /policy/test": {
			{"/policy/test", map[string]any{"condition": json.RawMessage(anySubject)}, http.StatusOK},
			{"/policy/test", map[string]any{"condition": json.RawMessage(anySubject), "email_ids": mails["email_ids"]}, http.StatusNotFound},
		},
		"GET /policy/stats": {
			{"/policy/stats?window_days=365", nil, http.StatusOK},
			{"/policy/stats?timeout=1ms&wait=" + alice.event, nil, http.StatusNotFound},
		},
		"POST /actions/propose":      {{"/actions/propose", nil, http.StatusOK}, {"/actions/propose", mails, http.StatusNotFound}, {"/actions/propose", map[string]any{"query": "category:promo"}, http.StatusOK}},
		"GET /actions/tray":          {{"/actions/tray?limit=1000", nil, http.StatusOK}},
		"GET /actions/history":       {{"/actions/history?limit=1000", nil, http.StatusOK}},
		"POST /actions/{id}/approve": refused(action + "/approve"),
		"POST /actions/{id}/reject":  refused(action + "/reject"),
		"POST /actions/{id}/revert":  refused(action + "/revert"),
		"POST /actions/{id}/always":  refused(action + "/always"),
		"POST /actions/decide":       {{"/actions/decide", map[string]any{"decisions": []decision{{alice.action, "approve"}}}, http.StatusOK}},
		"POST /actions/performed":    {{"/actions/performed", map[string]any{"email_id": alice.untouched, "action": "archive_email"}, http.StatusNotFound}},
		"GET /preferences": {
			{"/preferences", nil, http.StatusOK},
			{"/preferences?timeout=1ms&wait=" + alice.event, nil, http.StatusNotFound},
		},
		"GET /search": {
			{"/search", nil, http.StatusOK},
			{"/search?q=canary+OR+id:" + alice.proposed, nil, http.StatusOK},
			{"/search?timeout=1ms&wait=" + alice.event, nil, http.StatusNotFound},
		},
		"GET /mail/{id}":        refused("/mail/" + alice.proposed),
		"GET /mail/{id}/html":   refused("/mail/" + alice.proposed + "/html"),
		"GET /money/summary":    {{"/money/summary", nil, http.StatusOK}, {"/money/summary?timeout=1ms&wait=" + alice.event, nil, http.StatusNotFound}},
		"GET /money/duplicates": {{"/money/duplicates?window_days=365", nil, http.StatusOK}, {"/money/duplicates?timeout=1ms&wait=" + alice.event, nil, http.StatusNotFound}},
		"GET /money/receipts": {
			{"/money/receipts?q=canary", nil, http.StatusOK}, {"/money/receipts?before=" + alice.receipt, nil, http.StatusNotFound},
			{"/money/receipts?timeout=1ms&wait=" + alice.event, nil, http.StatusNotFound},
		},
		"GET /money/receipts.csv": {{"/money/receipts.csv", nil, http.StatusOK}, {"/money/receipts.csv?timeout=1ms&wait=" + alice.event, nil, http.StatusNotFound}},
		"POST /chat":              {{"/chat", map[string]any{"q": "canary", "propose": true}, http.StatusCreated}},
		"GET /chat/stream": {
			{"/chat/stream?explain=1&propose=1&window_days=3650&q=summarise+my+inbox", nil, http.StatusOK},
			{"/chat/stream?explain=1&q=why+did+you+suggest+this", nil, http.StatusOK},
			{"/chat/stream?remember=1&propose=1&q=never+show+me+promos", nil, http.StatusOK},
			{"/chat/stream?stream=" + alice.stream, nil, http.StatusNotFound},
		},
		"GET /uploads":             {{"/uploads", nil, http.StatusOK}},
		"POST /uploads":            {{"/uploads", map[string]any{"name": "mine.mbox", "size": 1}, http.StatusCreated}},
		"GET /uploads/{id}":        refused("/uploads/" + alice.upload),
		"GET /uploads/{id}/events": refused("/uploads/" + alice.upload + "/events"),
		"PUT /uploads/{id}":        {{"/uploads/" + alice.upload + "?offset=0", nil, http.StatusUnprocessableEntity}}, // TestUpload sends a chunk
		"DELETE /uploads/{id}":     refused("/uploads/" + alice.upload),
		"GET /demo":                {{"/demo", nil, http.StatusOK}},
		"POST /demo":               {{"/demo", nil, http.StatusServiceUnavailable}}, // alice has the one that there may be
		"DELETE /demo":             refused("/demo"),
		"PUT /preferences/{feature}": {
			{"/preferences/contains:canary", map[string]any{"weight": 1}, http.StatusUnprocessableEntity}, // only she has such a feature
			{"/preferences/category:promo", map[string]any{"weight": 1}, http.StatusOK},
		},
		"PUT /preferences": {
			{"/preferences", map[string]any{"feature": "contains:canary", "weight": 1}, http.StatusUnprocessableEntity},
			{"/preferences", map[string]any{"feature": "category:promo", "weight": 1}, http.StatusOK},
		},
		"POST /preferences/forget":      {{"/preferences/forget", map[string]any{"feature": "contains:canary"}, http.StatusOK}},
		"DELETE /preferences/{feature}": {{"/preferences/contains:canary", nil, http.StatusNoContent}},
		"DELETE /preferences":           {{"/preferences", nil, http.StatusNoContent}},
		"GET /accounts":                 {{"/accounts", nil, http.StatusOK}},
		"POST /accounts": {
			{"/accounts", map[string]any{"address": "bob@example.org", "host": "imap.example.org", "password": "secret"}, http.StatusCreated},
		},
		"GET /accounts/discover":   {{"/accounts/discover?address=x@gmail.com", nil, http.StatusOK}},
		"PUT /accounts/{id}":       {{"/accounts/" + alice.account, map[string]any{"mode": "ask"}, http.StatusNotFound}},
		"DELETE /accounts/{id}":    refused("/accounts/" + alice.account),
		"POST /accounts/{id}/test": refused("/accounts/" + alice.account + "/test"),
	}
}

// TestNobodySeesAnother asks every route as bob with what is alice's, and looks for anything of hers in the answers, and
// for any change of hers in the tables.
func TestNobodySeesAnother(t *testing.T) {
	w := takesUploads(t, uploads.DefaultLimits()).deployment
	alice, bob := w.person("alice"), w.person("bob")
	const canary = "canary"
	policy := alice.policy(canary+"-policy", `{"contains":["subject","canary"]}`)
	proposed := alice.mail(mail{subject: canary + " subject", sender: canary + "@canary.example", domain: "canary.example", category: "promo"})
	action := alice.propose(nil)[0]
	untouched := alice.mail(mail{subject: canary + " second", category: "promo"})
	alice.post("/actions/performed", map[string]any{"email_id": proposed, "action": "create_task"}).want(http.StatusOK)
	alice.ask(http.MethodDelete, "/preferences/category:event", nil).want(http.StatusNoContent)
	var receipt string
	for range 2 { // a duplicate
		receipt = alice.receipt(canary+" books", "12.5", "EUR", spring, canary+" receipt")
	}
	alice.Exec(`UPDATE mails SET html = '<p>canary</p>', text = 'canary' WHERE id = $1`, proposed)
	alice.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at) VALUES (1, 'alice', 'contains:canary', 3, 0, now())`)
	alice.Exec(`INSERT INTO policy_days (version, user_id, policy_id, day, fired, approved, rejected, missed, updated_at)
	            VALUES (1, 'alice', $1, (now() AT TIME ZONE 'UTC')::date, 1, 0, 0, 0, now())`, policy)
	alice.Exec(`SELECT add_new_mails(array_agg(user_id), array_agg(id), array_agg(received_at)) FROM mails`)
	bob.policy("everything", anySubject)
	account := decode[accountView](alice.post("/accounts", map[string]any{"address": canary + "@example.org", "host": canary + ".example.org",
		"password": "secret"}).want(http.StatusCreated)).ID
	alice.Exec(`INSERT INTO account_folders (account_id, user_id, name, watched) VALUES ($1, 'alice', 'canary', true)`, account)
	stream := alice.announce(map[string]any{"q": "find canary", "propose": true})
	upload := decode[uploadView](alice.post("/uploads", map[string]any{"name": canary, "size": 1}).want(http.StatusCreated)).ID
	alice.post("/demo", nil).want(http.StatusCreated)
	tables := personalTables(w)
	before := fingerprint(w, tables)

	tries := attempts(target{policy, action.ID, proposed, untouched, receipt, alice.events()[0].ID, stream, upload, account})
	for _, op := range routes(t, w) {
		route := op.Method + " " + op.Path
		if len(tries[route]) == 0 {
			t.Errorf("%s has no row in attempts", route)
		}
		for _, try := range tries[route] {
			answer := bob.ask(op.Method, try.path, try.body)
			if answer.status != try.status {
				t.Errorf("%s with %v: status %d, want %d: %s", route, try.body, answer.status, try.status, answer.body)
			}
			if text := fmt.Sprint(answer.header, string(answer.body)); strings.Contains(text, canary) || strings.Contains(text, proposed) || strings.Contains(text, untouched) {
				t.Errorf("%s tells: %s", route, text)
			}
		}
		delete(tries, route)
	}
	for route := range tries {
		t.Errorf("%s is no route any more", route)
	}
	same(t, fingerprint(w, tables), before)
	same(t, decode[actionView](alice.post("/actions/"+action.ID+"/approve", nil).want(http.StatusOK)).Status, approved)
}

// personalTables are the tables with rows that are a person's.
func personalTables(w *deployment) []string {
	w.Helper()
	tables := world.Scalar[[]string](w, `
		SELECT array_agg(c.table_name::text ORDER BY c.table_name)
		FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
		WHERE c.column_name = 'user_id' AND c.table_schema = 'public' AND t.table_type = 'BASE TABLE'`)
	if !slices.Contains(tables, "performed_actions") || !slices.Contains(tables, "weight_counts") {
		w.Fatalf("found only %v", tables)
	}
	return tables
}

// fingerprint changes with anything of alice's.
func fingerprint(w *deployment, tables []string) string {
	w.Helper()
	parts := []string{world.Scalar[string](w, `SELECT x::text FROM users x WHERE id = 'alice'`)}
	for _, table := range tables {
		parts = append(parts, table+" "+world.Scalar[string](w,
			`SELECT coalesce(md5(string_agg(x::text, '|' ORDER BY x::text)), '') FROM `+table+` x WHERE user_id = 'alice'`))
	}
	return strings.Join(parts, "\n")
}

func TestEventsOfOthersCannotBeWaitedFor(t *testing.T) {
	w := newDeployment(t)
	alice, bob := w.person("alice"), w.person("bob")
	alice.action()
	event := alice.events()[0].ID
	for _, path := range []string{"/preferences", "/policy/stats", "/search", "/money/summary", "/money/duplicates", "/money/receipts", "/money/receipts.csv"} {
		bob.get(path + "?wait=" + event).want(http.StatusNotFound)
		bob.get(path + "?wait=" + events.DeriveUUID("nothing").String()).want(http.StatusNotFound)
	}
}
