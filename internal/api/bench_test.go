package api

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// fast returns an API that refuses nobody for being fast, and the token of its only person, alice.
func fast(b *testing.B, pool *pgxpool.Pool) (http.Handler, string) {
	b.Helper()
	handler, err := New(Config{Pool: pool, Search: postgres.New(pool), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Rate: 1e9, Burst: 1e9})
	if err != nil {
		b.Fatal(err)
	}
	users := auth.NewStore(pool)
	if _, err := users.CreateUser(b.Context(), auth.User{ID: "alice"}); err != nil {
		b.Fatal(err)
	}
	secret, err := users.CreateToken(b.Context(), "alice", auth.Bearer, "", time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	return handler, secret
}

// BenchmarkApprove approves pending actions one after the other, and reports the 99th percentile.
func BenchmarkApprove(b *testing.B) {
	pool, _ := testenv.Database(b)
	handler, secret := fast(b, pool)
	var ids []string
	if err := pool.QueryRow(b.Context(), `
		WITH filed AS (INSERT INTO actions (id, user_id, policy_id, email_id, action, confidence, features, feature_rule, created_at)
		    SELECT gen_random_uuid(), 'alice', 1, n::text, 'archive_email', 0.7, '{category:promo,contains:sale}', 1, now()
		    FROM generate_series(1, $1) n RETURNING id)
		SELECT array_agg(id::text) FROM filed`, b.N).Scan(&ids); err != nil {
		b.Fatal(err)
	}
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for _, id := range ids {
		took = append(took, timed(b, handler, http.MethodPost, "/actions/"+id+"/approve", secret))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// timed asks with a token and returns how long the answer, which must be 200, took.
func timed(b *testing.B, handler http.Handler, method, target, secret string) time.Duration {
	b.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	recorder, start := httptest.NewRecorder(), time.Now()
	handler.ServeHTTP(recorder, r)
	took := time.Since(start)
	if recorder.Code != http.StatusOK {
		b.Fatal(recorder.Code, recorder.Body)
	}
	return took
}
