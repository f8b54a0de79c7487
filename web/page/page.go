// Package page has the pages of the mail's owner, one file each: what a page shows and what its forms do. A page asks the JSON
// API in this process, with the cookie of its request, and so can do and see what any client of the person can: it has no rules
// of its own, and no access to the database but for sessions. All of it works without scripts; the scripts of web/static make it
// quicker.
package page

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/ratelimit"
	"github.com/applylens/applylens/web"
)

// Config is what the pages need.
type Config struct {
	// API is the JSON API in this process. Required.
	API http.Handler

	// Users has the sessions. Required.
	Users *auth.Store

	// Provider signs people in, too. Default: none.
	Provider *Provider

	// Log is for operators. Default: slog.Default().
	Log *slog.Logger
}

// Pages answers requests for pages. It is safe for concurrent use.
type Pages struct {
	api       http.Handler
	users     *auth.Store
	openID    *openID // nil without a provider
	log       *slog.Logger
	mux       *http.ServeMux
	templates map[string]*template.Template // by page
	static    *static
	attempts  *rate.Limiter      // of signing in, by anybody
	failures  *ratelimit.Limiter // of signing in, by network
	forms     chan struct{}      // holds an element for each file that arrives by a form
}

// New parses the templates and makes the routes.
func New(config Config) (*Pages, error) {
	p := &Pages{
		api: config.API, users: config.Users, log: config.Log, mux: http.NewServeMux(),
		attempts: rate.NewLimiter(signInsPerSecond, signInBurst),
		failures: ratelimit.New(failuresPerSecond, failureBurst),
		forms:    make(chan struct{}, mostPlainFiles),
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	if config.Provider != nil {
		p.openID = newOpenID(*config.Provider)
	}
	var err error
	if p.static, err = readStatic(web.Static); err != nil {
		return nil, fmt.Errorf("read static files: %w", err)
	}
	if p.templates, err = parseTemplates(p.static.path); err != nil {
		return nil, fmt.Errorf("parse templates: %w", err)
	}
	p.routes()
	return p, nil
}

func (p *Pages) routes() {
	p.mux.Handle("GET "+staticPrefix, p.static)
	p.mux.HandleFunc("GET /sign-in", p.showSignIn)
	p.mux.HandleFunc("POST /sign-in", p.signIn)
	p.mux.HandleFunc("POST /sign-out", p.signOut)
	if p.openID != nil {
		p.mux.HandleFunc("GET "+oidcPath, p.startOpenID)
		p.mux.HandleFunc("GET "+callbackPath, p.finishOpenID)
	}
	p.mux.Handle("GET /{$}", p.signedIn(assistant))
	p.mux.Handle("POST /{$}", p.signedIn(ask))
	p.mux.Handle("GET /hits", p.signedIn(showHits))
	p.mux.Handle("GET /tray", p.signedIn(tray))
	p.mux.Handle("POST /tray", p.signedIn(decide))
	p.mux.Handle("GET /history", p.signedIn(history))
	p.mux.Handle("POST /history", p.signedIn(undo))
	p.mux.Handle("GET /mail/{id}", p.signedIn(mail))
	p.mux.Handle("POST /mail/{id}", p.signedIn(decideOnMail))
	p.mux.Handle("GET /preferences", p.signedIn(preferences))
	p.mux.Handle("POST /preferences", p.signedIn(changePreferences))
	p.mux.Handle("GET /policies", p.signedIn(policies))
	p.mux.Handle("POST /policies", p.signedIn(changePolicies))
	p.mux.Handle("GET /policies/{id}", p.signedIn(editPolicy))
	p.mux.Handle("POST /policies/{id}", p.signedIn(savePolicy))
	p.mux.Handle("GET /accuracy", p.signedIn(accuracy))
	p.mux.Handle("GET /money", p.signedIn(money))
	p.mux.Handle("GET /accounts", p.signedIn(mailAccounts))
	p.mux.Handle("POST /accounts", p.signedIn(changeMailAccounts))
	p.mux.Handle("GET /import", p.signedIn(imports))
	p.mux.Handle("POST /import", p.signedIn(changeImports))
	p.mux.Handle("GET /import/list", p.signedIn(showUploads))
	p.mux.Handle("POST /demo", p.signedIn(lookAround))
}

// Route returns the pattern of the page that belongs to a request, or nothing.
func (p *Pages) Route(r *http.Request) string {
	_, pattern := p.mux.Handler(r)
	return pattern
}

// policy allows what the page's own server sends, and nothing else.
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// permissions is what of the browser's devices the pages ask for: nothing.
const permissions = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"

// ServeHTTP implements http.Handler. What there is no page for gets one that says so.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Referrer-Policy", "same-origin") // without any, older browsers send forms with the origin null
	w.Header().Set("Permissions-Policy", permissions)
	w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
	if auth.CookieName(r) == auth.Cookie { // a browser keeps the cookie only of a page that came by TLS
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
	}
	if p.Route(r) == "" {
		p.fail(w, r, nil, &problem{Status: http.StatusNotFound, Detail: "There is no such page."})
		return
	}
	w, finish := compressed(w, r)
	defer finish()
	p.mux.ServeHTTP(w, r)
}

// visit is a request of a person.
type visit struct {
	*Pages
	w      http.ResponseWriter
	r      *http.Request
	caller *auth.Caller
	event  string // the event that the last call emitted
}

// signedIn serves a page to a person with a session, and sends others to sign in.
func (p *Pages) signedIn(serve func(*visit)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := p.callerOf(r)
		switch {
		case errors.Is(err, auth.ErrUnauthenticated) && auth.KeptSession(r) != "" && r.Method == http.MethodGet:
			auth.RestoreSession(w, r) // the demo person is gone
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusSeeOther)
		case errors.Is(err, auth.ErrUnauthenticated) && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			http.Redirect(w, r, "/sign-in?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		case errors.Is(err, auth.ErrUnauthenticated):
			p.fail(w, r, nil, &problem{Status: http.StatusUnauthorized, Detail: "You are signed out. Sign in and do it again: nothing was changed."})
		case err != nil:
			p.log.Error("cannot look for the session", "error", err)
			p.fail(w, r, nil, &problem{Status: http.StatusServiceUnavailable, Detail: unavailable})
		default:
			serve(&visit{Pages: p, w: w, r: r, caller: caller})
		}
	})
}

const unavailable = "The database cannot be reached. Nothing was changed; try again in a moment."

// callerOf returns whose session a request carries.
func (p *Pages) callerOf(r *http.Request) (*auth.Caller, error) {
	ctx, cancel := context.WithTimeout(r.Context(), lookFor)
	defer cancel()
	return p.users.Authenticate(ctx, r)
}

// lookFor bounds a look at sessions.
const lookFor = 10 * time.Second

// redirect sends the browser on after a form was done.
func (v *visit) redirect(path string) { http.Redirect(v.w, v.r, path, http.StatusSeeOther) }

// frame is what every page shows.
type frame struct {
	Title    string
	Here     string // the path of the section
	Caller   *auth.Caller
	Sections []section
	Body     any
	Problem  *problem // what went wrong, instead of Body or above it
}

type section struct{ Path, Name string }

var sections = []section{{"/", "Assistant"}, {"/tray", "Tray"}, {"/history", "History"}, {"/preferences", "Preferences"}, {"/policies", "Policies"}, {"/accuracy", "Accuracy"}, {"/money", "Money"}}

// show answers with a page.
func (v *visit) show(name, title, here string, body any, wrong *problem) {
	v.render(v.w, v.r, name, frame{Title: title, Here: here, Caller: v.caller, Sections: sections, Body: body, Problem: wrong})
}

// fragment answers with a part of a page, for scripts to put in.
func (v *visit) fragment(page, part string, body any) {
	v.write(v.w, v.r, page, part, http.StatusOK, body)
}

// render writes a page. Nothing is sent before it is whole, so that an error does not cut it.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, name string, f frame) {
	status := http.StatusOK
	if f.Problem != nil {
		status = f.Problem.Status
	}
	p.write(w, r, name, "layout", status, f)
}

func (p *Pages) write(w http.ResponseWriter, r *http.Request, page, part string, status int, data any) {
	var text bytes.Buffer
	if err := p.templates[page].ExecuteTemplate(&text, part, data); err != nil {
		p.log.Error("cannot render a page", "page", page, "error", err)
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(text.Bytes()) // the client may be gone
	}
}

// fail answers with a page that says what went wrong.
func (p *Pages) fail(w http.ResponseWriter, r *http.Request, caller *auth.Caller, wrong *problem) {
	title := "Not done"
	if wrong.Status == http.StatusNotFound {
		title = "Not found"
	}
	p.render(w, r, "problem", frame{Title: title, Caller: caller, Sections: sections, Problem: wrong})
}

func (v *visit) fail(wrong *problem) { v.Pages.fail(v.w, v.r, v.caller, wrong) }

// readForm reads the form of the request, and answers if it cannot.
func (v *visit) readForm() bool {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		v.fail(&problem{Status: http.StatusBadRequest, Detail: "The form is too long or damaged. Nothing was changed."})
		return false
	}
	return true
}

// isLocal tells whether a text is the path of a page here: nothing that a browser takes for another host.
func isLocal(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "\\\r\n\t") {
		return false
	}
	to, err := url.Parse(path)
	return err == nil && to.Host == "" && to.Scheme == "" && !strings.HasPrefix(path, "//")
}
