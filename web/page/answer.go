package page

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// reply is what the chat answered.
type reply struct {
	Claims  []claim
	Filed   *filed  // what was proposed, if that was asked
	Memory  *memory // what was kept, if that was asked
	Keeps   bool    // something would be kept, for confirmation
	Wider   bool    // no mail has all of the words
	Query   string  // what found the mail, as GET /search takes it; empty without a search
	Matches int
}

// claim is a piece of an answer.
type claim struct {
	Text  string     `json:"text"`
	By    string     `json:"by"`
	Mails []citation `json:"-"`

	MailIDs   []string       `json:"mail_ids"`
	WouldKeep []keptInMemory `json:"would_keep"`
}

// citation is a mail that says so, with its number in the answer.
type citation struct {
	ID     string
	Number int
}

type filed struct {
	Proposed int `json:"proposed"`
}

type memory struct {
	Kept []keptInMemory `json:"kept"`
}

type keptInMemory struct {
	Feature string  `json:"feature"`
	Weight  float64 `json:"weight"`
}

// question is what a person asks the chat, as the API takes it.
type question struct {
	Q          string `json:"q"`
	Mode       string `json:"mode,omitempty"`
	Propose    bool   `json:"propose,omitempty"`
	Explain    bool   `json:"explain,omitempty"`
	Remember   bool   `json:"remember,omitempty"`
	Plain      bool   `json:"plain,omitempty"`
	WindowDays int    `json:"window_days,omitempty"`
}

// Address is the page that asks the question.
func (q question) Address() string { return "/?" + q.values().Encode() }

// values are the parameters of the question that have no effects.
func (q question) values() url.Values {
	values := url.Values{"q": {q.Q}}
	if q.Mode != "" {
		values.Set("mode", q.Mode)
	}
	if q.Explain {
		values.Set("explain", "1")
	}
	if q.WindowDays != 0 {
		values.Set("window_days", strconv.Itoa(q.WindowDays))
	}
	return values
}

// converse asks the chat, without effects and without the language model, for which a page cannot wait.
func (v *visit) converse(q question) (*reply, *problem) {
	values := q.values()
	values.Set("plain", "1")
	return v.readChat("/chat/stream?"+values.Encode(), "")
}

// announce tells the chat a question with effects, and returns the id under which it can be asked once.
func (v *visit) announce(q question) (id string, wrong *problem) {
	var announced struct{ Stream string }
	q.Plain = true
	wrong = v.call(http.MethodPost, "/chat", q, &announced)
	return announced.Stream, wrong
}

// resume asks an announced question, and when the page is loaded again tells what that did. The answer is nil if the question is not
// known any more.
func (v *visit) resume(id string) (*reply, *problem) {
	path := "/chat/stream?stream=" + url.QueryEscape(id)
	got, wrong := v.readChat(path, "")
	if wrong != nil && wrong.Status == http.StatusConflict {
		got, wrong = v.readChat(path, id+".0")
	}
	if wrong != nil && wrong.Status == http.StatusNotFound {
		return nil, nil
	}
	return got, wrong
}

// readChat reads a stream of the chat to its end.
func (v *visit) readChat(path, lastEvent string) (*reply, *problem) {
	answer, wrong := v.send(http.MethodGet, path, nil, "Last-Event-ID", lastEvent)
	if wrong != nil {
		return nil, wrong
	}
	got := &reply{}
	numbers := map[string]int{}
	var failed *problem
	for event := range bytes.SplitSeq(answer.body.Bytes(), []byte("\n\n")) {
		name, data := fieldsOf(string(event))
		var err error
		switch name {
		case "tool":
			err = json.Unmarshal(data, got)
		case "answer":
			var c claim
			err = json.Unmarshal(data, &c)
			got.add(c, numbers)
		case "filed":
			err = json.Unmarshal(data, &got.Filed)
		case "memory":
			err = json.Unmarshal(data, &got.Memory)
		case "error":
			err = json.Unmarshal(data, &failed)
		}
		if err != nil {
			return nil, v.broken(path, err)
		}
	}
	return got, failed
}

// add adds a claim, and numbers the mails that it cites by their first appearance.
func (r *reply) add(c claim, numbers map[string]int) {
	for _, id := range c.MailIDs {
		if numbers[id] == 0 {
			numbers[id] = len(numbers) + 1
		}
		c.Mails = append(c.Mails, citation{id, numbers[id]})
	}
	r.Keeps = r.Keeps || len(c.WouldKeep) > 0
	r.Claims = append(r.Claims, c)
}

// fieldsOf returns the name and the data of a server-sent event.
func fieldsOf(event string) (name string, data []byte) {
	for line := range strings.SplitSeq(event, "\n") {
		if value, found := strings.CutPrefix(line, "event: "); found {
			name = value
		}
		if value, found := strings.CutPrefix(line, "data: "); found {
			data = []byte(value)
		}
	}
	return name, data
}
