package page

import (
	"context"
	"net/http"

	"github.com/applylens/applylens/internal/auth"
)

// lookAround makes a demo person and signs the browser in as them, or takes them away and goes back. The browser keeps the session of its
// person meanwhile, in a cookie that nothing else reads.
func lookAround(v *visit) {
	if !v.readForm() {
		return
	}
	if v.r.PostForm.Get("leave") != "" {
		v.leaveDemo()
		return
	}
	var made struct {
		Link string `json:"link"`
	}
	if wrong := v.call(http.MethodPost, "/demo", map[string]any{}, &made); wrong != nil {
		v.fail(wrong)
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookFor)
	defer cancel()
	session, err := v.users.SignIn(ctx, auth.Login, made.Link, "", browserOf(v.r))
	if err != nil {
		v.log.Error("cannot sign in as a demo person", "error", err)
		v.fail(&problem{Status: http.StatusServiceUnavailable, Detail: unavailable})
		return
	}
	auth.KeepSession(v.w, v.r, session)
	v.redirect("/tray")
}

func (v *visit) leaveDemo() {
	if !v.caller.Demo() {
		v.fail(&problem{Status: http.StatusConflict, Detail: "You look at your own mail. Nothing was changed."})
		return
	}
	if wrong := v.call(http.MethodDelete, "/demo", nil, nil); wrong != nil {
		v.fail(wrong)
		return
	}
	if auth.RestoreSession(v.w, v.r) {
		v.redirect("/")
		return
	}
	v.redirect("/sign-in")
}
