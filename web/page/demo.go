package page

import (
	"context"
	"net/http"
	"time"

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
		UserID string `json:"user_id"`
	}
	if wrong := v.call(http.MethodPost, "/demo", nil, &made); wrong != nil {
		v.fail(wrong)
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookFor)
	defer cancel()
	link, err := v.users.CreateToken(ctx, made.UserID, auth.Login, "demo", time.Now().Add(auth.LinkFor))
	var session string
	if err == nil {
		session, err = v.users.SignIn(ctx, auth.Login, link, "", browserOf(v.r))
	}
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
