package page

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// mailBody is what the API tells of a mail, as its page shows it.
type mailBody struct {
	ID          string     `json:"id"`
	Subject     string     `json:"subject"`
	Sender      string     `json:"sender"`
	SenderName  string     `json:"sender_name"`
	Recipients  []string   `json:"recipients"`
	ListID      string     `json:"list_id"`
	ReceivedAt  time.Time  `json:"received_at"`
	Category    string     `json:"category"`
	RiskScore   *int       `json:"risk_score"`
	Quarantined bool       `json:"quarantined"`
	Labels      []string   `json:"labels"`
	ExpiresAt   *time.Time `json:"expires_at"`
	Text        string     `json:"text"`
	Truncated   bool       `json:"truncated"`
	HTML        bool       `json:"html"`
	Links       []struct {
		Text string `json:"text"`
		URL  string `json:"url"`
	} `json:"links"`
	ATS *struct {
		System          string     `json:"system"`
		Stage           string     `json:"stage"`
		Company         string     `json:"company"`
		LastStageChange *time.Time `json:"last_stage_change"`
		InterviewDate   *time.Time `json:"interview_date"`
		GhostingRisk    float64    `json:"ghosting_risk"`
	} `json:"ats"`
	Receipt *struct {
		Merchant string      `json:"merchant"`
		Amount   json.Number `json:"amount"` // never a float
		Currency string      `json:"currency"`
	} `json:"receipt"`
	Actions []proposal `json:"actions"`
	Learned []struct {
		Feature string  `json:"feature"`
		Weight  float64 `json:"weight"`
		Pinned  bool    `json:"pinned"`
	} `json:"learned"`

	Done string // what the form before this page did
}

// mailDone are the sentences for what forms do.
var mailDone = map[string]string{
	"approve": "Approved. It teaches ApplyLens; nothing is done in your mailbox.", "reject": "Rejected. It teaches ApplyLens.",
	"undo": "Taken back, with all that was learned of it.",
}

func mail(v *visit) {
	body := &mailBody{}
	wrong := v.call(http.MethodGet, "/mail/"+segment(v.r.PathValue("id")), nil, body)
	if wrong != nil && wrong.Status == http.StatusNotFound {
		wrong.Detail = "This mail is not here. It was deleted, or it never was yours."
	}
	if wrong != nil {
		v.fail(wrong)
		return
	}
	body.Done = mailDone[v.r.URL.Query().Get("done")]
	title := body.Subject
	if strings.TrimSpace(title) == "" {
		title = "(no subject)"
	}
	v.show("mail", title, "", body, nil)
}

// decideOnMail does what a form of a mail's page says to one of its proposals.
func decideOnMail(v *visit) {
	if !v.readForm() {
		return
	}
	form := v.r.PostForm
	for _, do := range []string{"approve", "reject", "undo"} {
		id := form.Get(do)
		if id == "" {
			continue
		}
		var wrong *problem
		if do == "undo" {
			wrong = v.revert([]string{id})
		} else {
			_, _, wrong = v.decideAll(do, []string{id})
		}
		if wrong != nil {
			v.fail(wrong)
			return
		}
		v.redirect("/mail/" + segment(v.r.PathValue("id")) + "?" + url.Values{"done": {do}}.Encode())
		return
	}
	v.fail(&problem{Status: http.StatusBadRequest, Detail: "The form names no proposal. Nothing was changed."})
}

// dangerous is from which risk on a mail gets a warning.
const dangerous = 80

// Dangerous tells whether the mail is probably harmful.
func (b *mailBody) Dangerous() bool { return b.RiskScore != nil && *b.RiskScore >= dangerous }

// RiskWord is the risk in plain words.
func (b *mailBody) RiskWord() string {
	switch risk := *b.RiskScore; {
	case risk >= dangerous:
		return "high"
	case risk >= 50:
		return "raised"
	case risk >= 20:
		return "some"
	}
	return "low"
}

// Strongest is the greatest of the weights, by which bars are drawn.
func (b *mailBody) Strongest() float64 {
	strongest := 0.0
	for _, l := range b.Learned {
		strongest = max(strongest, math.Abs(l.Weight))
	}
	return strongest
}

// fewRecipients is how many recipients the page names.
const fewRecipients = 20

// To are the recipients that are named.
func (b *mailBody) To() []string { return b.Recipients[:min(len(b.Recipients), fewRecipients)] }

// Others is how many recipients are not named.
func (b *mailBody) Others() int { return len(b.Recipients) - len(b.To()) }

// part is some lines of a text.
type part struct {
	Quoted bool // of a mail that this one answers
	Text   string
}

// Parts divides the text into what is quoted and what is not.
func (b *mailBody) Parts() []part {
	var parts []part
	start, at := 0, 0
	for line := range strings.Lines(b.Text) {
		quoted := strings.HasPrefix(line, ">")
		if last := len(parts) - 1; last < 0 || parts[last].Quoted != quoted {
			parts = append(parts, part{Quoted: quoted})
			start = at
		}
		at += len(line)
		parts[len(parts)-1].Text = b.Text[start:at]
	}
	return parts
}
