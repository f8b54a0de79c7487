package api

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/applylens/applylens/internal/postgres"
)

const readyWithin = 2 * time.Second

// readiness remembers that the schema was complete; it stays complete.
type readiness struct{ migrated atomic.Bool }

// mountRoot adds the paths that exist at the root only and need no token.
func (s *server) mountRoot(registry *prometheus.Registry) {
	s.root.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	s.root.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, "alive\n") })
	s.root.HandleFunc("GET /readyz", s.readyz)
}

// readyz answers 200 when requests can be served: the database answers and has the schema of this binary.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
	defer cancel()
	if err := postgres.Ping(ctx, s.pool); err != nil {
		w.Header().Set("Retry-After", "1")
		writeProblem(w, http.StatusServiceUnavailable, "the database cannot be reached")
		return
	}
	if !s.migrated(ctx) {
		w.Header().Set("Retry-After", "1")
		writeProblem(w, http.StatusServiceUnavailable, "the database lacks migrations")
		return
	}
	writeText(w, "ready\n")
}

func (s *server) migrated(ctx context.Context) bool {
	if s.ready.migrated.Load() {
		return true
	}
	waiting, err := postgres.Pending(ctx, s.pool)
	if err != nil || waiting {
		return false
	}
	s.ready.migrated.Store(true)
	return true
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // the client may be gone
}
