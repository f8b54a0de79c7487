package page

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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

// assistantBody is what the assistant shows.
type assistantBody struct {
	Query string
	Mode  string
	Modes []mode
	Asked bool
	Hits  []hit
	Full  bool // there may be more

	Opportunities []hit // in networking mode, the hits that are events

	Accuracy        []policyStats // the policies that fired most
	AccuracyProblem *problem
}

// panelPolicies is how many policies the panel shows.
const panelPolicies = 5

func assistant(v *visit) {
	asked := v.r.URL.Query()
	if asked.Has("mode") && asked.Get("mode") == "" { // a form without scripts sends it
		asked.Del("mode")
		v.redirect("/?" + asked.Encode())
		return
	}
	body := &assistantBody{Query: asked.Get("q"), Mode: asked.Get("mode"), Modes: modes, Asked: asked.Has("q")}
	panel := *v // calls at the same time
	var both sync.WaitGroup
	both.Go(func() { body.Accuracy, body.AccuracyProblem = panel.panelAccuracy() })
	wrong := v.find(body)
	both.Wait()
	v.show("assistant", "Assistant", "/", body, wrong)
}

// find fills in what the query finds.
func (v *visit) find(body *assistantBody) *problem {
	if !body.Asked {
		return nil
	}
	query := url.Values{"q": {body.Query}, "limit": {strconv.Itoa(hits)}}
	if body.Mode != "" {
		query.Set("mode", body.Mode)
	}
	var found struct{ Hits []hit }
	if wrong := v.call(http.MethodGet, "/search?"+query.Encode(), nil, &found); wrong != nil {
		return wrong
	}
	body.Full = len(found.Hits) == hits
	for _, h := range found.Hits {
		if body.Mode == "networking" && h.Category == "event" {
			body.Opportunities = append(body.Opportunities, h)
		} else {
			body.Hits = append(body.Hits, h)
		}
	}
	return nil
}

// panelAccuracy returns the policies that fired most within 30 days.
func (v *visit) panelAccuracy() (list []policyStats, wrong *problem) {
	wrong = v.call(http.MethodGet, "/policy/stats?window_days=30", nil, &list)
	slices.SortStableFunc(list, func(a, b policyStats) int { return cmp.Compare(b.Fired, a.Fired) })
	return list[:min(len(list), panelPolicies)], wrong
}

// Address is the query of the page that asks the same once more.
func (b *assistantBody) Address() string {
	query := url.Values{}
	if b.Asked {
		query.Set("q", b.Query)
	}
	if b.Mode != "" {
		query.Set("mode", b.Mode)
	}
	return query.Encode()
}
