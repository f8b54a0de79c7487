package api

import (
	"math"
	"net/http"
	"testing"

	"pgregory.net/rapid"
)

func TestStats(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	promos := p.policy("promos", anySubject)
	day := func(policy int64, ago, fired, approved, rejected, missed int) {
		p.Exec(`INSERT INTO policy_days (version, user_id, policy_id, day, fired, approved, rejected, missed, updated_at)
		        VALUES (1, 'alice', $1, (now() AT TIME ZONE 'UTC')::date - $2::integer, $3, $4, $5, $6, '2026-01-02T03:04:05Z')`,
			policy, ago, fired, approved, rejected, missed)
	}
	day(promos, 0, 5, 2, 1, 1)
	day(promos, 29, 1, 1, 0, 0)
	day(promos, 30, 100, 100, 0, 0)
	day(1e9, 3, 0, 4, 9, 0) // decided before its proposal was folded; nobody's policy here
	day(1e9+1, 3, 0, 0, 0, 2)
	day(1e9+2, 3, -1, -1, 2, 0)

	list := decode[[]policyStats](p.get("/policy/stats").want(http.StatusOK))
	name, half := "promos", 0.75
	zero := 0.0
	same(t, list, []policyStats{
		{PolicyID: 1e9, Precision: 0.308, PrecisionLow: 0.127, PrecisionHigh: 0.576, Approved: 4, Rejected: 9, Fired: 13, Recall: ptr(1.0), WindowDays: 30, UpdatedAt: list[0].UpdatedAt},
		{PolicyID: promos, Name: &name, Precision: 0.5, PrecisionLow: 0.188, PrecisionHigh: 0.812, Approved: 3, Rejected: 1, Fired: 6, Pending: 2, Recall: &half, WindowDays: 30, UpdatedAt: list[0].UpdatedAt},
		{PolicyID: 1e9 + 2, PrecisionHigh: 0.658, Rejected: 2, Fired: 2, WindowDays: 30, UpdatedAt: list[0].UpdatedAt},
		{PolicyID: 1e9 + 1, PrecisionHigh: 1, Recall: &zero, WindowDays: 30, UpdatedAt: list[0].UpdatedAt},
	})
	wide := decode[[]policyStats](p.get("/policy/stats?window_days=31").want(http.StatusOK))
	same(t, wide[0].Fired, int64(106))
	today := decode[[]policyStats](p.get("/policy/stats?window_days=1").want(http.StatusOK))
	same(t, []int64{int64(len(today)), today[0].Fired}, []int64{1, 5})
	same(t, string(w.person("bob").get("/policy/stats").want(http.StatusOK).body), "[]\n")
}

func ptr[T any](value T) *T { return &value }

func TestWilsonHoldsTheShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1e6).Draw(t, "n")
		successes := rapid.Int64Range(0, n).Draw(t, "successes")
		low, high := wilson(successes, n)
		share := 0.0
		if n > 0 {
			share = float64(successes) / float64(n)
		}
		if !(low >= 0 && low <= share+1e-12 && share <= high+1e-12 && high <= 1) {
			t.Fatalf("%d of %d: %v..%v", successes, n, low, high)
		}
		mirrored, _ := wilson(n-successes, n)
		if math.Abs(mirrored-(1-high)) > 1e-9 {
			t.Fatalf("%d of %d is not the mirror of its failures", successes, n)
		}
	})
}

func TestPreferences(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	p.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, pinned, updated_at) VALUES
	        (1, 'alice', 'a', 1, 0, NULL, now()), (1, 'alice', 'b', 5, 1, NULL, now()), (1, 'alice', 'c', 0, 3, NULL, now()),
	        (1, 'alice', 'd', 0, 9, NULL, now()), (1, 'alice', 'e', 1, 1, NULL, now()), (1, 'alice', 'f', -1, 0, NULL, now()),
	        (1, 'alice', 'g', 0, 2, 3, now()), (1, 'bob', 'h', 7, 0, NULL, now())`)
	f := func(query string, liked, disliked []string) {
		t.Helper()
		got := p.get("/preferences" + query).want(http.StatusOK)
		same(t, features(decode[struct{ Liked []preference }](got).Liked), liked)
		same(t, features(decode[struct{ Disliked []preference }](got).Disliked), disliked)
	}
	f("", []string{"g", "b", "a"}, []string{"d", "c"})
	f("?limit=1", []string{"g"}, []string{"d"})
	f("?min=0.7", []string{"g", "b"}, []string{"d"})
	f("?min=0.8", []string{"g", "b"}, []string{"d"})
	f("?min=99", []string{}, []string{})
	b := decode[struct{ Liked []preference }](p.get("/preferences").want(http.StatusOK)).Liked
	same(t, b[:2], []preference{{"g", 3, 0, 2, true, b[0].UpdatedAt}, {"b", 0.8, 5, 1, false, b[1].UpdatedAt}})
}

func features(list []preference) []string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.Feature
	}
	return names
}
