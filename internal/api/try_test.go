package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/internal/turns"
)

// manyMails gives alice mails, many of them at the same time, so that a page ends among those, and bob a tenth as many.
const manyMails = `
INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain,
    recipients, list_id, received_at, category, risk_score, quarantined, labels, text, truncated, content_hash, updated_at)
SELECT 1, gen_random_uuid(), CASE WHEN n % 11 = 0 THEN 'bob' ELSE 'alice' END, '', '', 'Subject ' || n, 'x@shop.example', '', 'shop.example',
    '{}', '', now() - interval '1 hour' * (n % 300) * (n % 7), CASE WHEN n % 10 < 4 THEN 'promo' ELSE 'other' END, NULL, false, '{}', '', false, 0, now()
FROM generate_series(1, $1::integer) n`

// TestTryOnManyMails tries every one of 100,000 mails once, whatever the pages, without sorting or scanning all. It gives
// a busy machine with the race detector more time than anybody gets.
func TestTryOnManyMails(t *testing.T) {
	w := newDeployment(t)
	w.handler.(*server).tryFor = time.Minute
	p := w.person("alice")
	w.person("bob")
	w.Exec(manyMails, 110_000)
	w.Exec(`ANALYZE mails`)
	id := p.policy("promos", `{"all":[{"eq":["category","promo"]},{"regex":["subject","(?i)subject [0-9]*[02468]$"]}]}`)
	began := time.Now()
	got := decode[tried](p.post(fmt.Sprintf("/policy/%d/test", id), nil).want(http.StatusOK))
	t.Logf("%d mails tried in %s", got.Tried, time.Since(began))
	if got.Tried != 100_000 || !got.Complete || got.Count != len(got.Matches) {
		t.Errorf("%d of 100,000 mails tried, complete %v, %d matches counted as %d", got.Tried, got.Complete, len(got.Matches), got.Count)
	}
	want := world.Scalar[[]string](w, `SELECT array_agg(id::text ORDER BY received_at DESC, mails.id) FROM mails
		WHERE user_id = 'alice' AND category = 'promo' AND subject ~ '[02468]$'`)
	if !slices.Equal(got.Matches, want) {
		t.Errorf("%d matches, want %d, in the order of the mails", len(got.Matches), len(want))
	}
	some := decode[tried](p.post("/policy/test", map[string]any{"condition": json.RawMessage(`{"eq":["category","promo"]}`), "limit": tryPage + 1}).want(http.StatusOK))
	same(t, []any{some.Tried, some.Complete}, []any{tryPage + 1, true})
}

func TestTryStopsWhenTimeIsUp(t *testing.T) {
	condition, err := policy.Parse([]byte(anySubject))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	mails := []policy.Mail{{ID: "m", Subject: "s"}}
	look := func(end time.Time) (*trial, bool) {
		t.Helper()
		looked := &trial{condition: condition, now: now, end: end}
		all, err := looked.look(t.Context(), turns.New(), mails)
		if err != nil {
			t.Fatal(err)
		}
		return looked, all
	}
	if late, all := look(now.Add(-time.Second)); all || late.Tried != 0 {
		t.Errorf("%d mails tried after the end", late.Tried)
	}
	if early, all := look(now.Add(time.Hour)); !all || early.Tried != 1 || !slices.Equal(early.Matches, []string{"m"}) {
		t.Errorf("%+v before the end", early.tried)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := (&trial{condition: condition, now: now, end: now.Add(time.Hour)}).look(gone, turns.New(), mails); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that went away: %v", err)
	}
}

func TestUnsavedPolicyIsTried(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	promo, other := p.mail(mail{category: "promo"}), p.mail(mail{category: "personal"})
	whole := map[string]any{"name": "n", "enabled": false, "priority": 3, "condition": json.RawMessage(`{"eq":["category","promo"]}`),
		"action": "archive_email", "confidence_threshold": 0.9}
	same(t, decode[tried](p.post("/policy/test", whole).want(http.StatusOK)), tried{[]string{promo}, 1, 2, true})
	whole["email_ids"] = []string{other}
	same(t, decode[tried](p.post("/policy/test", whole).want(http.StatusOK)), tried{[]string{}, 0, 1, true})
	whole["email_ids"] = []string{other, "nonsense"}
	same(t, p.post("/policy/test", whole).want(http.StatusNotFound).problem().Errors[0].Location, "body.email_ids[1]")
	f := func(body, location string) {
		t.Helper()
		same(t, p.post("/policy/test", body).want(http.StatusUnprocessableEntity).problem().Errors[0].Location, location)
	}
	f(`{}`, "body")
	f(`{"condition":{"any":[{"exists":["subject"]},{"eq":["color","red"]}]}}`, "body.condition.any[1].eq[0]")
	f(`{"condition":{"regex":["subject","(x{1000}){1000}"]}}`, "body.condition.regex[1]")
	f(`{"condition":{"regex":["subject","`+strings.Repeat("x{1000}", 100)+`"]}}`, "body.condition.regex[1]")
	f(`{"condition":`+strings.Repeat(`{"not":`, 5000)+`{}`+strings.Repeat(`}`, 5000)+`}`, "body.condition"+strings.Repeat(".not", policy.MaxLevels))
	f(`{"condition":{"exists":["subject"]},"action":"send_money"}`, "body.action")
	f(`{"condition":{"exists":["subject"]},"limit":100001}`, "body.limit")
	same(t, world.Scalar[int](w, `SELECT count(*) FROM policies`)+world.Scalar[int](w, `SELECT count(*) FROM actions`)+len(p.events()), 0)
}
