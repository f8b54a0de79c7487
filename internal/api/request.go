package api

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const prefix = "/api"

// ServeHTTP does what applies to every request: headers, limits, and the two forms of a path.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setSecurityHeaders(w.Header())
	seen := &observation{writer: w, start: time.Now(), route: "none"}
	ctx := context.WithValue(withLogger(r.Context(), s.log), observationKey{}, seen)
	defer s.metrics.observe(seen, r.Method)
	r = r.WithContext(ctx)
	defer s.boundBody(seen, r).leave()
	defer s.rescue(ctx, seen)
	s.serve(seen, r)
}

func setSecurityHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// rescue answers 500 for a panic, which is a bug of ours.
func (s *server) rescue(ctx context.Context, w *observation) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	loggerFrom(ctx).Error("handler panicked", "cause", fmt.Sprint(cause), "route", w.route)
	if w.status == 0 {
		writeProblem(w, http.StatusInternalServerError, "something went wrong on our side")
	}
}

func (s *server) serve(w *observation, r *http.Request) {
	if !s.knowsHost(r.Host) {
		s.refuseHost(w)
		return
	}
	if err := s.crossOrigin.Check(r); err != nil {
		writeProblem(w, http.StatusForbidden, "a browser sent this from another site's page")
		return
	}
	if err := checkURL(r.URL); err != nil {
		writeProblem(w, http.StatusBadRequest, err.Error())
		return
	}
	if rest, under := strings.CutPrefix(r.URL.Path, prefix); under && strings.HasPrefix(rest, "/") {
		http.StripPrefix(prefix, http.HandlerFunc(s.operate)).ServeHTTP(w, r)
		return
	}
	if handler, pattern := s.root.Handler(r); pattern != "" {
		handler.ServeHTTP(w, r)
		return
	}
	if s.wantsPage(r) {
		if pattern := s.page.Route(r); pattern != "" {
			w.route = pageRoute(pattern)
			s.page.ServeHTTP(w, r)
			return
		}
		if !s.has(r) {
			s.page.ServeHTTP(w, r)
			return
		}
	}
	s.operate(w, r)
}

// wantsPage tells whether a browser asks for a page, not a program for an operation of the API with the same path: it navigates, sends
// a form, or loads what a page consists of.
func (s *server) wantsPage(r *http.Request) bool {
	if s.page == nil || r.Header.Get("Authorization") != "" {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return strings.Contains(r.Header.Get("Accept"), "text/html") || strings.HasPrefix(r.URL.Path, staticPath)
	case http.MethodPost:
		media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		return media == "application/x-www-form-urlencoded" || media == formMedia
	}
	return false
}

// staticPath is what the paths of the files begin with that pages load.
const staticPath = "/static/"

// has tells whether an operation has the path of a request, whatever its method.
func (s *server) has(r *http.Request) bool {
	handler, pattern := s.mux.Handler(r)
	if pattern != "" {
		return true
	}
	refusal := &discard{header: http.Header{}}
	handler.ServeHTTP(refusal, r)
	return refusal.status != http.StatusNotFound
}

// operate serves the operations of the API, then a problem.
func (s *server) operate(w http.ResponseWriter, r *http.Request) {
	handler, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r) // not handler, which would not see the path's wildcards
		return
	}
	refusal := &discard{header: http.Header{}}
	handler.ServeHTTP(refusal, r)
	if allow := refusal.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		writeProblem(w, http.StatusMethodNotAllowed, "this path knows only "+allow)
		return
	}
	writeProblem(w, http.StatusNotFound, "there is no such path")
}

// writeProblem answers a request that reached no operation.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(&huma.ErrorModel{ // the client may be gone
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail,
	})
}

// discard drops the body that a handler writes and keeps status and headers.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
