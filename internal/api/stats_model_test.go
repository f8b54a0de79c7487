package api

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/policystats"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/world"
)

// fact is one thing that happened to a policy: it counts for the UTC day of at.
type fact struct {
	user     string
	policy   int64
	kind     string // fired, approved, rejected, missed; -approved and -rejected for what was taken back
	at       time.Time
	recorded time.Time
}

// history is everything that happened, in the order in which it was folded.
type history []fact

// happen adds what an event means.
func (h *history) happen(e *events.Event) {
	if e.Erasure != nil {
		*h = slices.DeleteFunc(*h, func(f fact) bool { return f.user == e.Erasure.UserID })
		return
	}
	kinds := map[events.Type]string{events.TypeActionProposed: "fired", events.TypeActionApproved: "approved",
		events.TypeActionRejected: "rejected", events.TypeActionReverted: "-" + e.Action.Decision}
	policies := []int64{e.Action.PolicyID}
	kind := kinds[e.Type]
	if e.Type == events.TypeActionPerformed {
		kind, policies = "missed", e.Action.Policies
	}
	for _, policy := range policies {
		*h = append(*h, fact{e.Action.UserID, policy, kind, e.Action.ProposedAt, e.Action.RecordedAt})
	}
}

// counts are what is counted of one policy.
type counts struct{ fired, approved, rejected, missed, pending int64 }

// count tells the slow way how a person's policy fared on the days from first to last: day by day, and fact by fact. A
// proposal that was made more than 29 days before last does not wait any more.
func (h history) count(user string, policy int64, first, last time.Time) (sum counts, updated time.Time) {
	for day := first; !day.After(last); day = day.AddDate(0, 0, 1) {
		found := map[string]int64{}
		for _, f := range h {
			if f.user == user && f.policy == policy && !f.at.Before(day) && f.at.Before(day.AddDate(0, 0, 1)) {
				found[f.kind]++
				if f.recorded.After(updated) {
					updated = f.recorded
				}
			}
		}
		approved, rejected := max(0, found["approved"]-found["-approved"]), max(0, found["rejected"]-found["-rejected"])
		fired := max(found["fired"], approved+rejected)
		sum.fired, sum.approved, sum.rejected, sum.missed = sum.fired+fired, sum.approved+approved, sum.rejected+rejected, sum.missed+found["missed"]
		if last.Sub(day) < 30*24*time.Hour {
			sum.pending += fired - approved - rejected
		}
	}
	return sum, updated
}

// stats are the statistics of a person in a window of days that ends today.
func (h history) stats(user string, window int, today time.Time, names map[int64]string) []policyStats {
	list := []policyStats{}
	for policy := int64(1); policy <= 4; policy++ {
		c, updated := h.count(user, policy, today.AddDate(0, 0, 1-window), today)
		if updated.IsZero() {
			continue
		}
		s := policyStats{PolicyID: policy, Approved: c.approved, Rejected: c.rejected, Fired: c.fired, Pending: c.pending, WindowDays: window, UpdatedAt: updated}
		if name, own := names[policy]; own {
			s.Name = &name
		}
		if c.fired > 0 {
			s.Precision = thousandths(float64(c.approved) / float64(c.fired))
		}
		s.PrecisionLow, s.PrecisionHigh = thousandths(wilsonEnd(c.approved, c.fired, 0)), thousandths(wilsonEnd(c.approved, c.fired, 1))
		if c.approved+c.missed > 0 {
			recall := thousandths(float64(c.approved) / float64(c.approved+c.missed))
			s.Recall = &recall
		}
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b policyStats) int { return cmp.Compare(b.Fired, a.Fired) })
	return list
}

func thousandths(x float64) float64 { return math.Floor(x*1000+0.5) / 1000 }

// wilsonEnd finds the end of the interval by its meaning: the probability between the share and limit at which the share
// lies 1.96 standard deviations away.
func wilsonEnd(successes, n int64, limit float64) float64 {
	if n == 0 {
		return limit
	}
	share := float64(successes) / float64(n)
	near, far := share, limit
	for range 200 {
		middle := (near + far) / 2
		if math.Abs(share-middle) <= 1.959963984540054*math.Sqrt(middle*(1-middle)/float64(n)) {
			near = middle
		} else {
			far = middle
		}
	}
	return near
}

// drawStatsEvent draws an event of a person: around the edges of windows, and of days.
func drawStatsEvent(t *rapid.T, today time.Time) *events.Event {
	user := rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "user")
	if rapid.IntRange(0, 60).Draw(t, "erased") == 0 {
		return &events.Event{Envelope: events.Envelope{Type: events.TypeUserErased}, Erasure: &events.Erasure{UserID: user}}
	}
	day := rapid.OneOf(rapid.SampledFrom([]int{-365, -364, -31, -30, -29, -28, -1, 0, 1}), rapid.IntRange(-400, 2)).Draw(t, "day")
	at := today.AddDate(0, 0, day).Add(rapid.SampledFrom([]time.Duration{0, time.Microsecond, 12 * time.Hour, 24*time.Hour - time.Microsecond}).Draw(t, "time"))
	e := &events.Event{Action: &events.Action{UserID: user, ProposedAt: at, RecordedAt: at.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "later")) * time.Hour)}}
	e.Type = rapid.SampledFrom([]events.Type{events.TypeActionProposed, events.TypeActionProposed, events.TypeActionApproved, events.TypeActionRejected,
		events.TypeActionReverted, events.TypeActionPerformed}).Draw(t, "kind")
	policy := rapid.Int64Range(1, 4)
	if e.Type == events.TypeActionPerformed {
		e.Action.Policies = rapid.SliceOfNDistinct(policy, 0, 3, rapid.ID).Draw(t, "policies")
		return e
	}
	e.Action.PolicyID = policy.Draw(t, "policy")
	if e.Type == events.TypeActionReverted {
		e.Action.Decision = rapid.SampledFrom([]string{events.DecisionApproved, events.DecisionRejected}).Draw(t, "decision")
	}
	return e
}

// databaseDay is the UTC day that the database has now, at its beginning.
func databaseDay(w *deployment) time.Time {
	w.Helper()
	return world.Scalar[time.Time](w, `SELECT (now() AT TIME ZONE 'UTC')::date`)
}

// TestStatsFollowTheModel folds random histories in batches of any size, and compares what GET /policy/stats tells for
// some windows, and the view for all persons and in any time zone, with what the slow counting of facts gives. Days are
// the database's, so that its clock need not be moved.
func TestStatsFollowTheModel(t *testing.T) {
	w := newDeployment(t)
	persons := map[string]*person{"alice": w.person("alice"), "bob": w.person("bob")}
	w.Exec(`INSERT INTO policies (id, user_id, name, condition, action, deleted_at) VALUES
	        (1, 'alice', 'one', '{}', 'create_task', NULL), (2, 'alice', 'two', '{}', 'create_task', now()), (3, 'bob', 'three', '{}', 'create_task', NULL)`)
	names := map[string]map[int64]string{"alice": {1: "one", 2: "two"}, "bob": {3: "three"}}
	batch := policystats.Group(nil, nil).NewBatch()
	rapid.Check(t, func(t *rapid.T) {
		w.Exec(`TRUNCATE policy_days`)
		today := databaseDay(w)
		h := foldHistory(t, w, batch, today)
		window := rapid.OneOf(rapid.SampledFrom([]int{1, 2, 29, 30, 31, 364, 365}), rapid.IntRange(1, 365)).Draw(t, "window")
		diff := ""
		for id, p := range persons {
			got := decode[[]policyStats](p.get(fmt.Sprintf("/policy/stats?window_days=%d", window)).want(http.StatusOK))
			diff += gocmp.Diff(h.stats(id, window, today, names[id]), got)
		}
		zone := rapid.SampledFrom([]string{"UTC", "Pacific/Kiritimati", "Etc/GMT+12"}).Draw(t, "zone")
		diff += gocmp.Diff(h.view(today), viewedStats(w, zone), cmpopts.EquateApprox(0, 1e-12))
		if diff != "" && databaseDay(w).Equal(today) { // not when midnight passed meanwhile
			t.Fatalf("window %d, zone %s (-want +got):\n%s", window, zone, diff)
		}
	})
}

func foldHistory(t *rapid.T, w *deployment, batch consumers.Batch, today time.Time) history {
	var h history
	for range rapid.IntRange(1, 4).Draw(t, "batches") {
		batch.Reset()
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			e := drawStatsEvent(t, today)
			batch.Add(e)
			h.happen(e)
		}
		err := postgres.InTx(w.Context(), w.Pool, func(tx *postgres.Tx) error {
			return batch.Write(w.Context(), tx, consumers.Version{Number: 1})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// viewed is a row of the view policy_stats.
type viewed struct {
	PolicyID                  int64
	UserID                    string
	Fired, Approved, Rejected int64
	Precision                 float64
	Recall                    *float64
	WindowDays                int
	UpdatedAt                 time.Time
}

// view is what the view should have, in the order of persons and policies.
func (h history) view(today time.Time) []viewed {
	list := []viewed{}
	for _, user := range []string{"alice", "bob"} {
		for policy := int64(1); policy <= 4; policy++ {
			c, updated := h.count(user, policy, today.AddDate(0, 0, -29), today)
			if updated.IsZero() {
				continue
			}
			v := viewed{PolicyID: policy, UserID: user, Fired: c.fired, Approved: c.approved, Rejected: c.rejected, WindowDays: 30, UpdatedAt: updated}
			if c.fired > 0 {
				v.Precision = float64(c.approved) / float64(c.fired)
			}
			if c.approved+c.missed > 0 {
				recall := float64(c.approved) / float64(c.approved+c.missed)
				v.Recall = &recall
			}
			list = append(list, v)
		}
	}
	return list
}

// viewedStats reads the view as a session in a time zone does, and checks that its ids are those of policy and person.
func viewedStats(w *deployment, zone string) []viewed {
	w.Helper()
	list, ids := []viewed{}, map[int64]bool{}
	err := postgres.InTx(w.Context(), w.Pool, func(tx *postgres.Tx) error {
		if _, err := tx.Exec(w.Context(), `SELECT set_config('timezone', $1, true)`, zone); err != nil {
			return err
		}
		rows, err := tx.Query(w.Context(), `SELECT id, policy_id, user_id, fired, approved, rejected, precision, recall, window_days, updated_at FROM policy_stats ORDER BY user_id, policy_id`)
		if err != nil {
			return err
		}
		var id int64
		var v viewed
		_, err = pgx.ForEachRow(rows, []any{&id, &v.PolicyID, &v.UserID, &v.Fired, &v.Approved, &v.Rejected, &v.Precision, &v.Recall, &v.WindowDays, &v.UpdatedAt}, func() error {
			v.UpdatedAt = v.UpdatedAt.UTC()
			list, ids[id] = append(list, v), true
			return nil
		})
		return err
	})
	if err != nil || len(ids) != len(list) {
		w.Fatalf("%d ids of %d rows: %v", len(ids), len(list), err)
	}
	return list
}
