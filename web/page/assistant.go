package page

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The modes of the assistant. Off is no parameter.
var modes = []mode{{"", "off"}, {"networking", "networking"}, {"money", "money"}}

type mode struct{ Value, Name string }

// hits is how many mails the assistant shows.
const hits = 20

// hit is what the API tells of a mail that was found.
type hit struct {
	ID         string    `json:"id"`
	Subject    string    `json:"subject"`
	Sender     string    `json:"sender"`
	SenderName string    `json:"sender_name"`
	ReceivedAt time.Time `json:"received_at"`
	Category   string    `json:"category"`
	Snippet    string    `json:"snippet"`
	ATS        *struct {
		Stage   string `json:"stage"`
		Company string `json:"company"`
	} `json:"ats"`
	Boosts []struct {
		Why string `json:"why"`
	} `json:"boosts"`
}

// The ages up to which mail is looked for, unless the question names a time. The first is no parameter.
var ages = []age{{"", "30 days"}, {"90", "90 days"}, {"365", "a year"}, {"3650", "any time"}}

type age struct{ Value, Name string }

// everything is the widest window.
const everything = "3650"

// assistantBody is what the assistant shows.
type assistantBody struct {
	Query   string
	Mode    string
	Modes   []mode
	Window  string
	Ages    []age
	Explain bool
	Asked   bool
	Answer  *reply
	Forgot  bool // what the question did is told no more
	Results results

	Accuracy        []policyStats // the policies that fired most
	AccuracyProblem *problem
	Money           moneyTools

	Welcome *welcome // for who has no mail
}

// Examples are questions to begin with.
func (*assistantBody) Examples() []question {
	return []question{
		{Q: "What's new today?"}, {Q: "Any meetups this month?"}, {Q: "How much did I spend last month?"},
		{Q: "How many newsletters did I get this year?"}, {Q: "Archive old promos"},
	}
}

// results are mails that were found.
type results struct {
	Hits          []hit
	Opportunities []hit // in networking mode, the hits that are events
	Full          bool  // there may be more
	Problem       *problem
}

// panelPolicies is how many policies the panel shows.
const panelPolicies = 5

func assistant(v *visit) {
	asked := v.r.URL.Query()
	if asked.Has("mode") && asked.Get("mode") == "" {
		asked.Del("mode")
		v.redirect("/?" + asked.Encode())
		return
	}
	body := &assistantBody{
		Query: asked.Get("q"), Mode: asked.Get("mode"), Modes: modes, Window: asked.Get("window_days"), Ages: ages,
		Explain: asked.Get("explain") == "1", Asked: strings.TrimSpace(asked.Get("q")) != "",
	}
	panel, tools := *v, *v // call at the same time
	var both sync.WaitGroup
	both.Go(func() { body.Money = tools.openTool(asked.Get("tool"), body.Address()) })
	both.Go(func() { body.Accuracy, body.AccuracyProblem = panel.panelAccuracy() })
	wrong := v.answer(body, asked.Get("stream"))
	if !body.Asked {
		body.Welcome = v.offers("/")
	}
	both.Wait()
	v.show("assistant", "Assistant", "/", body, wrong)
}

// answer fills in what the chat answers, and the mail that it found. A question with effects has the id of its stream.
func (v *visit) answer(body *assistantBody, stream string) (wrong *problem) {
	if !body.Asked {
		return nil
	}
	if stream != "" {
		if body.Answer, wrong = v.resume(stream); wrong != nil {
			return wrong
		}
		body.Forgot = body.Answer == nil
	}
	if body.Answer == nil {
		days, err := strconv.Atoi(cmp.Or(body.Window, "0"))
		if err != nil {
			return &problem{Status: http.StatusUnprocessableEntity, Detail: "The window of time is no number of days."}
		}
		if body.Answer, wrong = v.converse(question{Q: body.Query, Mode: body.Mode, Explain: body.Explain, WindowDays: days}); wrong != nil {
			return wrong
		}
	}
	if body.Answer.Matches > 0 {
		body.Results = v.find(body.Answer.Query, body.Mode)
	}
	return nil
}

// ask takes the form of a browser without scripts. A question without effects becomes the address of its answer; one with effects is
// announced first, and so runs once however often that address is loaded.
func ask(v *visit) {
	if !v.readForm() {
		return
	}
	form := v.r.PostForm
	days, _ := strconv.Atoi(form.Get("window_days")) // none is the usual one
	q := question{
		Q: form.Get("q"), Mode: form.Get("mode"), Explain: form.Get("explain") == "1", WindowDays: days,
		Propose: form.Get("propose") == "1", Remember: form.Get("remember") == "1",
	}
	to := q.values()
	if q.Propose || q.Remember {
		id, wrong := v.announce(q)
		if wrong != nil {
			v.fail(wrong)
			return
		}
		to.Set("stream", id)
	}
	v.redirect("/?" + to.Encode())
}

// showHits answers with the mails that a query finds alone, for scripts.
func showHits(v *visit) {
	asked := v.r.URL.Query()
	v.fragment("assistant", "hits", v.find(asked.Get("q"), asked.Get("mode")))
}

// find returns the mails that a query finds.
func (v *visit) find(text, mode string) (out results) {
	query := url.Values{"q": {text}, "limit": {strconv.Itoa(hits)}}
	if mode != "" {
		query.Set("mode", mode)
	}
	var found struct{ Hits []hit }
	if out.Problem = v.call(http.MethodGet, "/search?"+query.Encode(), nil, &found); out.Problem != nil {
		return out
	}
	out.Full = len(found.Hits) == hits
	for _, h := range found.Hits {
		if mode == "networking" && h.Category == "event" {
			out.Opportunities = append(out.Opportunities, h)
		} else {
			out.Hits = append(out.Hits, h)
		}
	}
	return out
}

// panelAccuracy returns the policies that fired most within 30 days.
func (v *visit) panelAccuracy() (list []policyStats, wrong *problem) {
	wrong = v.call(http.MethodGet, "/policy/stats?window_days=30", nil, &list)
	slices.SortStableFunc(list, func(a, b policyStats) int { return cmp.Compare(b.Fired, a.Fired) })
	return list[:min(len(list), panelPolicies)], wrong
}

// Address is the page that asks the same once more, without effects.
func (b *assistantBody) Address() string { return b.address(b.Window) }

// Everywhere is the page that asks the same of all mail.
func (b *assistantBody) Everywhere() string {
	if b.Window == everything {
		return ""
	}
	return b.address(everything)
}

func (b *assistantBody) address(window string) string {
	days, _ := strconv.Atoi(window) // the page says what is no number
	q := question{Q: b.Query, Mode: b.Mode, Explain: b.Explain, WindowDays: days}
	values := q.values()
	if !b.Asked {
		values.Del("q")
	}
	return "/?" + values.Encode()
}
