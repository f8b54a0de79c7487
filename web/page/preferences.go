package page

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// strong is the least weight that the page shows at first.
const strong = 0.5

// preference is what the API tells of a feature.
type preference struct {
	Feature    string    `json:"feature"`
	Weight     float64   `json:"weight"`
	Approvals  int64     `json:"approvals"`
	Rejections int64     `json:"rejections"`
	Pinned     bool      `json:"pinned"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// preferencesBody is what the page of preferences shows.
type preferencesBody struct {
	Liked    []preference `json:"liked"`
	Disliked []preference `json:"disliked"`

	All  bool   // also weak ones
	Done string // what the form before this page did
}

// Strongest is the greatest of the weights, by which bars are drawn.
func (b *preferencesBody) Strongest() float64 {
	strongest := 0.0
	if len(b.Liked) > 0 {
		strongest = b.Liked[0].Weight
	}
	if len(b.Disliked) > 0 {
		strongest = max(strongest, -b.Disliked[0].Weight)
	}
	return strongest
}

// preferencesDone are the sentences for what forms do.
var preferencesDone = map[string]string{
	"pin": "The weight is set. It stays, whatever you decide, until you forget it.", "forget": "It is forgotten. What you decide from now on teaches it anew.",
	"reset": "Everything is forgotten.",
}

func preferences(v *visit) {
	asked := v.r.URL.Query()
	body := &preferencesBody{All: asked.Get("all") != "", Done: preferencesDone[asked.Get("done")]}
	query := url.Values{"limit": {strconv.Itoa(most)}}
	if !body.All {
		query.Set("min", strconv.FormatFloat(strong, 'f', -1, 64))
	}
	if event := asked.Get("wait"); event != "" {
		query.Set("wait", event)
	}
	wrong := v.call(http.MethodGet, "/preferences?"+query.Encode(), nil, body)
	if wrong != nil && asked.Get("wait") != "" { // it is done, but not to be seen yet
		query.Del("wait")
		wrong = v.call(http.MethodGet, "/preferences?"+query.Encode(), nil, body)
	}
	v.show("preferences", "Preferences", "/preferences", body, wrong)
}

// resetWord is what somebody types who wants everything forgotten.
const resetWord = "forget everything"

// changePreferences sets or forgets what the form names.
func changePreferences(v *visit) {
	if !v.readForm() {
		return
	}
	form := v.r.PostForm
	var wrong *problem
	do := form.Get("do")
	switch do {
	case "pin":
		weight, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(form.Get("weight")), "−", "-"), 64)
		if err != nil || math.IsNaN(weight) || math.IsInf(weight, 0) {
			v.fail(&problem{Status: http.StatusUnprocessableEntity, Detail: "The weight is a number between −100 and 100, such as 1.5. Nothing was changed."})
			return
		}
		wrong = v.call(http.MethodPut, "/preferences", map[string]any{"feature": form.Get("feature"), "weight": weight}, nil)
	case "forget":
		wrong = v.call(http.MethodPost, "/preferences/forget", map[string]string{"feature": form.Get("feature")}, nil)
	case "reset":
		if !strings.EqualFold(strings.TrimSpace(form.Get("confirm")), resetWord) {
			v.fail(&problem{Status: http.StatusUnprocessableEntity, Detail: `Type "` + resetWord + `" to confirm. Nothing was changed.`})
			return
		}
		wrong = v.call(http.MethodDelete, "/preferences", nil, nil)
	default:
		wrong = &problem{Status: http.StatusBadRequest, Detail: "The form does not say what to do. Nothing was changed."}
	}
	if wrong != nil {
		v.fail(wrong)
		return
	}
	v.redirect("/preferences?" + url.Values{"done": {do}, "wait": {v.event}}.Encode())
}
