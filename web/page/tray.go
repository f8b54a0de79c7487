package page

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// most is how many proposals or decisions a page shows.
const most = 300

// proposal is what the API tells of one.
type proposal struct {
	ID         string    `json:"id"`
	Action     string    `json:"action"`
	Confidence float64   `json:"confidence"`
	Explored   bool      `json:"explored"`
	Params     params    `json:"params"`
	Rationale  rationale `json:"rationale"`
	Policy     struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	} `json:"policy"`
	CreatedAt time.Time `json:"created_at"`
	Email     struct {
		ID         string     `json:"id"`
		Subject    string     `json:"subject"`
		Sender     string     `json:"sender"`
		ReceivedAt *time.Time `json:"received_at"`
	} `json:"email"`
	Status    string    `json:"status"`
	DecidedAt time.Time `json:"decided_at"`
}

// Decided tells whether its owner decided on it, and the decision stands.
func (p proposal) Decided() bool { return p.Status == "approved" || p.Status == "rejected" }

// params are what an action is done with, such as the label.
type params map[string]any

// String is them for people, in a fixed order.
func (p params) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		parts = append(parts, fmt.Sprintf("%s %v", strings.ReplaceAll(name, "_", " "), p[name]))
	}
	return strings.Join(parts, ", ")
}

type rationale struct {
	Contributions []contribution `json:"contributions"`
	Narrative     struct {
		Summary string `json:"summary"`
	} `json:"narrative"`
}

type contribution struct {
	Feature string  `json:"feature"`
	Weight  float64 `json:"weight"`
}

// Strongest is the greatest of the weights, by which bars are drawn.
func (r rationale) Strongest() float64 {
	strongest := 0.0
	for _, c := range r.Contributions {
		strongest = max(strongest, math.Abs(c.Weight))
	}
	return strongest
}

// group are proposals of one policy for mail of one sender.
type group struct {
	Number int
	Policy string
	Action string
	Sender string
	Items  []proposal
}

// groupsOf divides proposals by policy and sender, in the order of the newest of each group.
func groupsOf(list []proposal) []*group {
	var groups []*group
	for _, p := range list {
		at := slices.IndexFunc(groups, func(g *group) bool {
			return g.Items[0].Policy.ID == p.Policy.ID && g.Sender == p.Email.Sender && g.Action == p.Action
		})
		if at < 0 {
			at = len(groups)
			groups = append(groups, &group{Number: at + 1, Policy: p.Policy.Name, Action: p.Action, Sender: p.Email.Sender})
		}
		groups[at].Items = append(groups[at].Items, p)
	}
	return groups
}

// trayBody is what the tray shows.
type trayBody struct {
	Groups []*group
	Count  int
	Full   bool // there may be more
	Done   *done

	Welcome *welcome // for who has no mail
}

// done is what the last form did, with what takes it back.
type done struct {
	Sentence string
	IDs      []string
}

func tray(v *visit) {
	var body trayBody
	var list []proposal
	wrong := v.call(http.MethodGet, "/actions/tray?limit="+strconv.Itoa(most), nil, &list)
	if wrong == nil {
		body.Done = v.lastDone()
	}
	body.Groups, body.Count, body.Full = groupsOf(list), len(list), len(list) == most
	if wrong == nil && len(list) == 0 {
		body.Welcome = v.offers("/tray")
	}
	v.show("tray", "Tray", "/tray", body, wrong)
}

// fewIDs is how many decisions the address of the page after a form names, so that they can be taken back there.
const fewIDs = 20

// after is the address of the tray after a form decided what it names.
func after(status string, decided []string, lost int) string {
	query := url.Values{"as": {status}, "decided": {strconv.Itoa(len(decided))}}
	if len(decided) <= fewIDs {
		query["id"] = decided
	}
	if lost > 0 {
		query.Set("lost", strconv.Itoa(lost))
	}
	return "/tray?" + query.Encode()
}

// lastDone tells what the form before this page decided, as its address says. What it offers to take back are decisions that stand and
// that the address names, whoever wrote it.
func (v *visit) lastDone() *done {
	query := v.r.URL.Query()
	if query.Get("made") != "" {
		return &done{Sentence: "A policy was made of the proposal. It stands among your policies."}
	}
	count, err := strconv.Atoi(query.Get("decided"))
	status, named := query.Get("as"), query["id"]
	if err != nil || count < 0 || count > most || status != "approved" && status != "rejected" || len(named) > fewIDs {
		return nil
	}
	d := &done{Sentence: plural(count, "proposal", "proposals") + " " + status + "."}
	if lost, err := strconv.Atoi(query.Get("lost")); err == nil && lost > 0 {
		d.Sentence += " " + plural(lost, "other was", "others were") + " decided elsewhere, or expired, in the meantime."
	}
	if len(named) == 0 {
		return d
	}
	var list []proposal
	if wrong := v.call(http.MethodGet, "/actions/history?limit="+strconv.Itoa(most), nil, &list); wrong != nil {
		return d
	}
	for _, p := range list {
		if p.Status == status && slices.Contains(named, p.ID) {
			d.IDs = append(d.IDs, p.ID)
		}
	}
	return d
}

// decision is one of a form, as the API takes it.
type decision struct {
	ID       string `json:"id"`
	Decision string `json:"decision"`
}

// decide does what a form of the tray says: approve or reject one proposal, those that are selected or, if none is, the whole group,
// or make a policy of one.
func decide(v *visit) {
	if !v.readForm() {
		return
	}
	form := v.r.PostForm
	if id := form.Get("always"); id != "" {
		v.always(id)
		return
	}
	word, ids := "approve", form["approve"]
	if len(ids) == 0 {
		word, ids = "reject", form["reject"]
	}
	if all := form.Get("all"); len(ids) == 0 && (all == "approve" || all == "reject") {
		word = all
		if ids = form["selected"]; len(ids) == 0 {
			ids = form["member"]
		}
	}
	if len(ids) == 0 {
		v.fail(&problem{Status: http.StatusBadRequest, Detail: "The form names no proposal. Nothing was changed."})
		return
	}
	decided, lost, wrong := v.decideAll(word, ids)
	if wrong != nil {
		v.fail(wrong)
		return
	}
	v.redirect(after(map[string]string{"approve": "approved", "reject": "rejected"}[word], decided, lost))
}

// decideAll approves or rejects proposals, and returns those that are decided so now and how many others were in the way of it. It is a
// problem when nothing could be decided.
func (v *visit) decideAll(word string, ids []string) (decided []string, lost int, wrong *problem) {
	decisions := make([]decision, len(ids))
	for i, id := range ids {
		decisions[i] = decision{id, word}
	}
	var answer struct {
		Results []struct{ ID, Outcome string }
	}
	if wrong := v.call(http.MethodPost, "/actions/decide", map[string]any{"decisions": decisions}, &answer); wrong != nil {
		return nil, 0, wrong
	}
	for _, result := range answer.Results {
		switch result.Outcome {
		case "decided", "repeated":
			decided = append(decided, result.ID)
		default:
			lost++
		}
	}
	if len(decided) == 0 && lost > 0 {
		return nil, lost, &problem{Status: http.StatusConflict, Detail: plural(lost, "proposal was", "proposals were") + " decided elsewhere, or expired, in the meantime. Nothing was changed."}
	}
	return decided, lost, nil
}

// always makes a policy of a proposal.
func (v *visit) always(id string) {
	if wrong := v.call(http.MethodPost, "/actions/"+segment(id)+"/always", nil, nil); wrong != nil {
		v.fail(wrong)
		return
	}
	v.redirect("/tray?made=1")
}
