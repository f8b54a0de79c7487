package page

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// policyOf is what the API tells of a policy, and takes of one.
type policyOf struct {
	ID        int64           `json:"id,omitempty"`
	Name      string          `json:"name"`
	Enabled   bool            `json:"enabled"`
	Priority  int             `json:"priority"`
	Condition json.RawMessage `json:"condition"`
	Action    string          `json:"action"`
	Threshold float64         `json:"confidence_threshold"`
}

// pretty is a condition as people edit it: a comparison a line.
func pretty(condition json.RawMessage, indent string) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(condition, &members) == nil && len(members) == 1 {
		for _, word := range []string{"all", "any"} {
			var parts []json.RawMessage
			if json.Unmarshal(members[word], &parts) != nil || len(parts) == 0 {
				continue
			}
			lines := make([]string, len(parts))
			for i, part := range parts {
				lines[i] = indent + "  " + pretty(part, indent+"  ")
			}
			return `{"` + word + "\": [\n" + strings.Join(lines, ",\n") + "\n" + indent + "]}"
		}
	}
	var out bytes.Buffer
	if json.Compact(&out, condition) != nil {
		return string(condition)
	}
	return out.String()
}

// policiesBody is what the page of policies shows.
type policiesBody struct {
	Policies []policyOf
	Done     string
}

// policyBody is what the page of one policy shows.
type policyBody struct {
	Policy    policyOf
	Condition string // as it was typed
	Actions   []string
	Tried     *tried
}

// tried is what a condition matches.
type tried struct {
	Count    int  `json:"count"`
	Tried    int  `json:"tried"`
	Complete bool `json:"complete"`
}

// policiesDone are the sentences for what forms do.
var policiesDone = map[string]string{
	"enable": "The policy is on.", "disable": "The policy is off. What it proposed stays in the tray.", "save": "The policy is saved.",
	"delete": "The policy is deleted. Its statistics and what it proposed stay.", "copy": "A copy was made, switched off.",
}

func policies(v *visit) {
	body := policiesBody{Done: policiesDone[v.r.URL.Query().Get("done")]}
	wrong := v.call(http.MethodGet, "/policy", nil, &body.Policies)
	slices.SortStableFunc(body.Policies, func(a, b policyOf) int { return a.Priority - b.Priority })
	v.show("policies", "Policies", "/policies", body, wrong)
}

// newPolicy is what the form for a new policy has at first.
func newPolicy() policyOf {
	return policyOf{Enabled: true, Priority: 100, Action: "archive_email", Threshold: 0.7,
		Condition: json.RawMessage(`{"all": [{"eq": ["category", "promo"]}, {"gte": ["age_days", 7]}]}`)}
}

func editPolicy(v *visit) {
	p := newPolicy()
	id, wrong := v.idInPath()
	if wrong == nil && id > 0 {
		wrong = v.call(http.MethodGet, policyPath(id), nil, &p)
	}
	if wrong != nil {
		v.fail(wrong)
		return
	}
	v.showPolicy(p, pretty(p.Condition, ""), nil, nil)
}

// policyID reads the id of a policy.
func policyID(text string) (int64, *problem) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, &problem{Status: http.StatusNotFound, Detail: "There is no such policy."}
	}
	return id, nil
}

// idInPath is the id in the path: 0 for a new policy.
func (v *visit) idInPath() (int64, *problem) {
	if text := v.r.PathValue("id"); text != "new" {
		return policyID(text)
	}
	return 0, nil
}

func policyPath(id int64) string { return "/policy/" + strconv.FormatInt(id, 10) }

func (v *visit) showPolicy(p policyOf, condition string, found *tried, wrong *problem) {
	title := p.Name
	if p.ID == 0 {
		title = "New policy"
	}
	v.show("policy", title, "/policies", policyBody{p, condition, slices.Sorted(maps.Keys(actionNames)), found}, wrong)
}

// savePolicy tries or saves the policy of the form.
func savePolicy(v *visit) {
	id, wrong := v.idInPath()
	if wrong != nil {
		v.fail(wrong)
		return
	}
	if !v.readForm() {
		return
	}
	form := v.r.PostForm
	p := policyOf{ID: id, Name: strings.TrimSpace(form.Get("name")), Enabled: form.Get("enabled") != "", Action: form.Get("action"), Condition: json.RawMessage(form.Get("condition"))}
	priority, err := strconv.Atoi(strings.TrimSpace(form.Get("priority")))
	threshold, badThreshold := strconv.ParseFloat(strings.TrimSpace(form.Get("threshold")), 64)
	p.Priority, p.Threshold = priority, threshold
	switch {
	case !json.Valid(p.Condition):
		wrong = &problem{Status: http.StatusUnprocessableEntity, Detail: "The condition is not JSON. Nothing was changed."}
	case err != nil || badThreshold != nil || math.IsNaN(threshold) || math.IsInf(threshold, 0):
		wrong = &problem{Status: http.StatusUnprocessableEntity, Detail: "Priority and threshold are numbers. Nothing was changed."}
	}
	if wrong != nil {
		v.showPolicy(p, form.Get("condition"), nil, wrong)
		return
	}
	if form.Get("do") == "try" {
		var found tried
		if wrong = v.call(http.MethodPost, "/policy/test", map[string]any{"condition": p.Condition}, &found); wrong != nil {
			v.showPolicy(p, form.Get("condition"), nil, wrong)
			return
		}
		v.showPolicy(p, form.Get("condition"), &found, nil)
		return
	}
	if wrong = v.putPolicy(p); wrong != nil {
		v.showPolicy(p, form.Get("condition"), nil, wrong)
		return
	}
	v.redirect("/policies?done=save")
}

// putPolicy makes or replaces a policy.
func (v *visit) putPolicy(p policyOf) *problem {
	id := p.ID
	p.ID = 0 // it stands in the path
	if id == 0 {
		return v.call(http.MethodPost, "/policy", p, nil)
	}
	return v.call(http.MethodPut, policyPath(id), p, nil)
}

// changePolicies does what a button of the list says about one policy.
func changePolicies(v *visit) {
	if !v.readForm() {
		return
	}
	do := v.r.PostForm.Get("do")
	id, wrong := policyID(v.r.PostForm.Get("id"))
	path := policyPath(id)
	var p policyOf
	if wrong == nil {
		wrong = v.call(http.MethodGet, path, nil, &p)
	}
	if wrong == nil {
		switch do {
		case "enable", "disable":
			p.Enabled = do == "enable"
			wrong = v.putPolicy(p)
		case "copy":
			p.ID, p.Enabled = 0, false
			p.Name = strings.ToValidUTF8(p.Name[:min(len(p.Name), 230)], "") + " (copy)"
			wrong = v.putPolicy(p)
		case "delete":
			wrong = v.call(http.MethodDelete, path, nil, nil)
		default:
			wrong = &problem{Status: http.StatusBadRequest, Detail: "The form does not say what to do. Nothing was changed."}
		}
	}
	if wrong != nil {
		v.fail(wrong)
		return
	}
	v.redirect("/policies?done=" + do)
}
