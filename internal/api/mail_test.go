package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
)

// fullMail stores a mail with all that the page of a mail shows, and returns its id.
func (p *person) fullMail() string {
	p.Helper()
	risk := 12
	id := p.mail(mail{subject: "Offer: big sale", sender: "jobs@acme.example", domain: "acme.example", category: "promo", risk: &risk, age: time.Hour})
	p.Exec(`UPDATE mails SET message_id = 'm@acme.example', thread = 't', sender_name = 'Acme', recipients = '{ann@example.org,bo@example.org}', list_id = 'l.acme.example',
		labels = '{Work}', expires_at = '2027-01-02T03:04:05Z', text = 'Hello', html = $2, companies = '{acme}',
		receipt_merchant = 'Acme', receipt_key = 'acme', receipt_amount = 1234.5, receipt_currency = 'EUR' WHERE id = $1`,
		id, `<p onclick="x()">Hello <a href="https://acme.example/a">Acme</a> <a href="https://acme.example/a">again</a> <a href="javascript:x">no</a>
		<a href="mailto:ann@acme.example">Ann</a><a href="ftp://acme.example">no</a><img src="https://acme.example/pixel" alt="Logo"></p>`)
	p.Exec(`INSERT INTO applications (version, system, application_id, addresses, company, stage, last_stage_change, src_version, removed, updated_at)
	        VALUES (1, 'lever', '7', '{alice@example.org}', 'Acme', 'Onsite', now() - interval '15 days', 1, false, now())`)
	p.Exec(`INSERT INTO application_keys (version, address, company, system, application_id, whole)
	        VALUES (1, 'alice@example.org', '', 'lever', '7', true), (1, 'alice@example.org', 'acme', 'lever', '7', true)`)
	p.Exec(`UPDATE users SET addresses = '{alice@example.org}' WHERE id = 'alice'`)
	p.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, pinned, updated_at)
	        VALUES (1, 'alice', 'category:promo', 3, 0, NULL, now()), (1, 'alice', 'sender_domain:acme.example', 0, 0, -2.5, now()), (1, 'alice', 'contains:meetup', 9, 0, NULL, now())`)
	return id
}

// seenMail is a mail as a client reads it: amounts are numbers.
type seenMail struct {
	mailView
	Receipt *struct{ Amount json.Number } `json:"receipt"`
}

func TestMail(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	id := p.fullMail()
	policy := p.policy("promos", `{"eq":["category","promo"]}`, "confidence_threshold", 0.5)
	action := p.propose(map[string]any{"email_ids": []string{id}})[0]
	p.post("/actions/"+action.ID+"/approve", nil).want(http.StatusOK)
	p.policy("urgent", anySubject, "priority", 1)
	second := p.propose(map[string]any{"email_ids": []string{id}})[0]
	for _, path := range []string{"/mail/", "/api/mail/"} {
		got := decode[seenMail](p.get(path + id).want(http.StatusOK))
		if got.ID != id || got.MessageID != "m@acme.example" || got.Thread != "t" || got.Subject != "Offer: big sale" || got.Sender != "jobs@acme.example" || got.SenderName != "Acme" ||
			got.ListID != "l.acme.example" || got.Category != "promo" || *got.RiskScore != 12 || got.Quarantined || got.Text != "Hello" || got.Truncated || !got.HTML {
			t.Errorf("the mail is %+v", got)
		}
		same(t, got.Recipients, []string{"ann@example.org", "bo@example.org"})
		same(t, got.Labels, []string{"Work"})
		same(t, *got.ExpiresAt, time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC))
		if a := got.ATS; a == nil || a.Company != "Acme" || a.Stage != "Onsite" || a.System != "lever" || a.ApplicationID != "7" || a.GhostingRisk != 0.95 {
			t.Errorf("the application is %+v", a)
		}
		same(t, got.Links, []mailLink{{"Acme", "https://acme.example/a"}, {"Ann", "mailto:ann@acme.example"}})
		if len(got.Actions) != 2 || got.Actions[0].ID != second.ID || got.Actions[0].Status != pending || got.Actions[0].DecidedAt != nil ||
			got.Actions[1].ID != action.ID || got.Actions[1].Status != approved || got.Actions[1].DecidedAt == nil || got.Actions[1].Policy != (trayPolicy{policy, "promos"}) ||
			got.Actions[1].Confidence != action.Confidence || len(got.Actions[1].Rationale) == 0 {
			t.Errorf("the proposals are %+v", got.Actions)
		}
		if l := got.Learned; len(l) < 5 || l[0] != (mailFeature{"sender_domain:acme.example", -2.5, true}) || l[1].Feature != "category:promo" || l[1].Weight <= 0 || l[1].Pinned || l[4].Weight != 0 {
			t.Errorf("what was learned is %+v", l)
		}
	}
	if body := string(p.get("/mail/" + id).body); !strings.Contains(body, `"receipt":{"merchant":"Acme","amount":1234.50,"currency":"EUR"}`) {
		t.Errorf("the receipt is not told: %s", body)
	}
	p.Exec(`UPDATE actions SET created_at = now() - interval '31 days' WHERE id = $1`, second.ID)
	p.Exec(`UPDATE actions SET created_at = now() - interval '32 days' WHERE id = $1`, action.ID)
	if got := decode[seenMail](p.get("/mail/" + id)).Actions; got[0].Status != expired || got[1].Status != approved {
		t.Errorf("after a month the proposals are %s and %s", got[0].Status, got[1].Status)
	}
}

// TestBareMail: what a mail does not have is null or an empty list.
func TestBareMail(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	id := p.mail(mail{subject: ""})
	body := string(p.get("/mail/" + id).want(http.StatusOK).body)
	for _, part := range []string{`"recipients":[]`, `"risk_score":null`, `"labels":[]`, `"expires_at":null`, `"text":""`, `"html":false`, `"links":[]`, `"ats":null`, `"receipt":null`, `"actions":[]`} {
		if !strings.Contains(body, part) {
			t.Errorf("the answer lacks %s: %s", part, body)
		}
	}
	p.get("/mail/" + id + "/html").want(http.StatusNotFound)
	for _, path := range []string{"/mail/" + events.DeriveUUID("nothing").String(), "/mail/x", "/mail/" + strings.ToUpper(id) + "x"} {
		p.get(path).want(http.StatusNotFound)
		p.get(path + "/html").want(http.StatusNotFound)
	}
}

func TestMailHTML(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	id := p.fullMail()
	for _, path := range []string{"/mail/", "/api/mail/"} {
		answer := p.get(path + id + "/html").want(http.StatusOK)
		for name, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
		} {
			if got := answer.header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		text := string(answer.body)
		if !strings.Contains(text, `<p>Hello <u title="https://acme.example/a">Acme</u>`) || !strings.Contains(text, "Logo") {
			t.Errorf("the HTML is %s", text)
		}
		for _, bad := range []string{"onclick", "<img", "pixel", "href"} {
			if strings.Contains(text, bad) {
				t.Errorf("the HTML has %s: %s", bad, text)
			}
		}
	}
}

// TestLargeMail: the longest text and HTML that the mailbox keeps, nested as deep as they can be.
func TestLargeMail(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	id := p.mail(mail{subject: "Large"})
	p.Exec(`UPDATE mails SET text = repeat('x', 1024 * 1024), html = repeat('<div>', 256 * 1024 / 5) WHERE id = $1`, id)
	got := decode[seenMail](p.get("/mail/" + id).want(http.StatusOK))
	if len(got.Text) != 1<<20 || !got.HTML {
		t.Errorf("%d bytes of text", len(got.Text))
	}
	if document := p.get("/mail/" + id + "/html").want(http.StatusOK); strings.Count(string(document.body), "<div>") > 200 {
		t.Error("the HTML is nested as deep as it was sent")
	}
}
