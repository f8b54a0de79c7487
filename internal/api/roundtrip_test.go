package api

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// trips counts how often the API waited for an answer of PostgreSQL.
type trips struct {
	mu    sync.Mutex
	asked bool
	count int
}

// tripConn is a connection whose trips are counted: one for the first answer to whatever was written before.
type tripConn struct {
	net.Conn
	*trips
}

func (c tripConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.asked = true
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c tripConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.asked {
		c.asked = false
		c.count++
	}
	return n, err
}

// counted gives an API a pool of one connection whose trips it counts.
func counted(t *testing.T, count *trips) func(*Config) {
	return func(c *Config) {
		config := c.Pool.Config()
		config.MaxConns = 1
		config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
		dial := config.ConnConfig.DialFunc
		config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return tripConn{conn, count}, err
		}
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		c.Pool = pool
	}
}

// TestChangesTakeFewRoundTrips holds how often a change waits for the database, when its statements are prepared. The
// first time is the authentication.
func TestChangesTakeFewRoundTrips(t *testing.T) {
	var count trips
	p := newDeployment(t, counted(t, &count)).person("alice")
	f := func(name string, most, status int, ask func() *reply) {
		t.Helper()
		count.mu.Lock()
		before := count.count
		count.mu.Unlock()
		ask().want(status)
		count.mu.Lock()
		took := count.count - before
		count.mu.Unlock()
		t.Logf("%s: %d round trips", name, took)
		if took > most {
			t.Errorf("%s took %d round trips, want at most %d", name, took, most)
		}
	}
	post := func(path string, headers ...string) func() *reply {
		return func() *reply { return p.post(path, nil, headers...) }
	}
	const unbounded = 1000
	for _, most := range []int{unbounded, 0} { // the first round prepares the statements
		bound := func(n int) int { return max(n, most) }
		a, b := "/actions/"+p.action().ID, "/actions/"+p.action().ID
		key := "key-" + a
		f("approve", bound(3), http.StatusOK, post(a+"/approve"))
		f("approve again", bound(3), http.StatusOK, post(a+"/approve"))
		f("reject what is approved", bound(3), http.StatusConflict, post(a+"/reject"))
		f("revert", bound(3), http.StatusOK, post(a+"/revert"))
		f("revert again", bound(3), http.StatusOK, post(a+"/revert"))
		f("reject", bound(3), http.StatusOK, post(b+"/reject"))
		f("approve with a key", bound(3), http.StatusOK, post(a+"/approve", "Idempotency-Key", key))
		f("repeat the key", bound(3), http.StatusOK, post(a+"/approve", "Idempotency-Key", key))
		f("approve what is unknown", bound(3), http.StatusNotFound, post("/actions/11111111-1111-4111-8111-111111111111/approve"))
		f("forget", bound(3), http.StatusNoContent, func() *reply { return p.forget("category:promo") })
		f("revert after a forget", bound(3), http.StatusOK, post(a+"/revert"))
		f("pin", bound(3), http.StatusOK, func() *reply { return p.pin("category:promo", 1) })
		f("decide", bound(3), http.StatusOK, func() *reply {
			return p.post("/actions/decide", map[string]any{"decisions": []decision{{a[len("/actions/"):], "approve"}}})
		})
		m := p.mail(mail{category: "promo"})
		f("propose", bound(5), http.StatusOK, func() *reply { return p.post("/actions/propose", map[string]any{"email_ids": []string{m}}) })
		f("performed", bound(5), http.StatusOK, func() *reply { return p.post("/actions/performed", did(m, "create_task")) })
		f("always", bound(4), http.StatusOK, post(a+"/always"))
	}
}
