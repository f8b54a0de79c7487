package page

import (
	"net/http"
	"net/url"
	"strconv"
)

// historyBody is what the history shows.
type historyBody struct {
	Items []proposal
	Full  bool // there may be more
	Done  string
}

func history(v *visit) {
	body := historyBody{}
	if count, err := strconv.Atoi(v.r.URL.Query().Get("undone")); err == nil && count > 0 {
		body.Done = plural(count, "decision was", "decisions were") + " taken back, with all that was learned of it. What is younger than 30 days waits in the tray again."
	}
	wrong := v.call(http.MethodGet, "/actions/history?limit="+strconv.Itoa(most), nil, &body.Items)
	body.Full = len(body.Items) == most
	v.show("history", "History", "/history", body, wrong)
}

// undo takes decisions back.
func undo(v *visit) {
	if !v.readForm() {
		return
	}
	if count := len(v.r.PostForm["undo"]); count == 0 || count > most {
		v.fail(&problem{Status: http.StatusBadRequest, Detail: "The form names no decision, or too many. Nothing was changed."})
		return
	}
	ids := v.r.PostForm["undo"]
	if wrong := v.revert(ids); wrong != nil {
		v.fail(wrong)
		return
	}
	v.redirect("/history?undone=" + strconv.Itoa(len(ids)))
}

// revert takes decisions back, one after the other. The problem says how many were before it.
func (v *visit) revert(ids []string) *problem {
	for undone, id := range ids {
		if wrong := v.call(http.MethodPost, "/actions/"+segment(id)+"/revert", nil, nil); wrong != nil {
			if undone > 0 {
				wrong.Detail = plural(undone, "decision was", "decisions were") + " taken back, then: " + wrong.Detail
			}
			return wrong
		}
	}
	return nil
}

// segment writes a text of a form as one segment of a path.
func segment(text string) string {
	if text == "" || text == "." || text == ".." {
		return "-"
	}
	return url.PathEscape(text)
}
