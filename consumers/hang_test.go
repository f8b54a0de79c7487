package consumers_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/pgproxy"
	"github.com/applylens/applylens/internal/testkit/world"
)

// After a fail-over that leaves connections hanging, a member finds new ones, wherever it was: before it knows the live
// version, while its heartbeats keep the partitions, as well as in the middle of folding.
func TestHangingConnectionsAreGivenUp(t *testing.T) {
	w := grouptest.New(t)
	parsed, err := url.Parse(w.URL)
	w.Must(err)
	proxy, err := pgproxy.Start(parsed.Host, 0, pgproxy.Healthy)
	w.Must(err)
	through, err := proxy.URL(w.URL)
	w.Must(err)
	pool, err := postgres.Open(t.Context(), config.Postgres{DatabaseURL: config.Secret(through)}, "test")
	w.Must(err)
	t.Cleanup(pool.Close)
	t.Cleanup(func() { proxy.Close() }) // first, or closing the pool waits for the connections that hang
	w.Must(postgres.Ping(t.Context(), pool))
	w.Publish(w.Own(world.Decision("ann", 0)))
	proxy.Hang()
	w.Start(w.Weights(func(c *consumers.Config) { c.Pool, c.BatchDeadline = pool, 2*time.Second }))
	w.AwaitWeights()
	for n := range 3 {
		proxy.Hang()
		w.Publish(w.Own(world.Decision("ann", n+1)))
		w.AwaitWeights()
	}
}
