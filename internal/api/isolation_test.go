package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/events"
)

// routes are all operations of the document, so that a new one cannot be forgotten here.
func routes(t *testing.T, w *world) []*huma.Operation {
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
	w := newWorld(t)
	for _, op := range routes(t, w) {
		path := strings.ReplaceAll(op.Path, "{id}", "1")
		for _, path := range []string{path, "/api" + path} {
			if answer := w.ask("", op.Method, path, nil); answer.status != http.StatusUnauthorized {
				t.Errorf("%s %s answered %d without a token", op.Method, path, answer.status)
			}
		}
	}
}

// TestNobodySeesAnother asks every route as bob with all the ids of alice, and looks for anything of hers in the
// answers, and for any change of hers in the tables.
func TestNobodySeesAnother(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.person("alice"), w.person("bob")
	const canary = "canary"
	policy := alice.policy(canary+"-policy", `{"contains":["subject","canary"]}`)
	mailID := alice.mail(mail{subject: canary + " subject", sender: canary + "@canary.example", domain: "canary.example", category: "promo"})
	action := alice.propose(nil)[0]
	untouched := alice.mail(mail{subject: canary + " second", category: "promo"})
	alice.exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at) VALUES (1, 'alice', 'contains:canary', 3, 0, now())`)
	alice.exec(`INSERT INTO policy_days (version, user_id, policy_id, day, fired, approved, rejected, missed, updated_at)
	            VALUES (1, 'alice', $1, (now() AT TIME ZONE 'UTC')::date, 1, 0, 0, 0, now())`, policy)
	event := alice.events()[0].ID
	bob.policy("everything", `{"exists":["subject"]}`)
	before := fingerprint(w)

	ids := []string{fmt.Sprint(policy), action.ID}
	bodies := []any{nil, map[string]any{"email_ids": []string{mailID, untouched}},
		map[string]any{"decisions": []decision{{action.ID, "approve"}}},
		map[string]any{"name": "mine", "condition": json.RawMessage(`{"exists":["subject"]}`), "action": "archive_email"}}
	asked := 0
	for _, op := range routes(t, w) {
		for _, id := range ids {
			for _, body := range bodies {
				path := strings.ReplaceAll(op.Path, "{id}", id)
				for _, path := range []string{path, path + "?wait=" + event + "&timeout=1ms"} {
					answer := bob.ask(op.Method, path, body)
					asked++
					if answer.status >= 500 {
						t.Errorf("%s %s: %d %s", op.Method, path, answer.status, answer.body)
					}
					if text := fmt.Sprint(answer.header, string(answer.body)); strings.Contains(text, canary) || strings.Contains(text, mailID) {
						t.Errorf("%s %s tells: %s", op.Method, path, text)
					}
				}
			}
		}
	}
	same(t, fingerprint(w), before)
	for _, id := range []string{action.ID} {
		same(t, decode[actionView](alice.post("/actions/"+id+"/approve", nil).want(http.StatusOK)).Status, approved)
	}
	t.Logf("%d requests", asked)
}

// fingerprint changes with anything of alice's.
func fingerprint(w *world) string {
	w.t.Helper()
	var parts []string
	for _, table := range []string{"policies", "actions", "outbox", "idempotency_keys", "mails", "weight_counts", "policy_days"} {
		parts = append(parts, scalar[string](w,
			`SELECT coalesce(md5(string_agg(x::text, '|' ORDER BY x::text)), '') FROM `+table+` x WHERE user_id = 'alice'`))
	}
	return strings.Join(parts, " ")
}

func TestEventsOfOthersCannotBeWaitedFor(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.person("alice"), w.person("bob")
	alice.action()
	event := alice.events()[0].ID
	for _, path := range []string{"/preferences", "/policy/stats"} {
		bob.get(path + "?wait=" + event).want(http.StatusNotFound)
		bob.get(path + "?wait=" + events.DeriveUUID("nothing").String()).want(http.StatusNotFound)
	}
}
