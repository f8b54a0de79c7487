package bench

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

func TestDistanceDelaysEachRoundTrip(t *testing.T) {
	const extra = 20 * time.Millisecond
	_, database := testenv.Database(t)
	near, err := roundTrip(t.Context(), config.Secret(database))
	if err != nil {
		t.Fatal(err)
	}
	way, far, err := distant(config.Secret(database), extra)
	if err != nil {
		t.Fatal(err)
	}
	took, err := roundTrip(t.Context(), far)
	if err != nil {
		t.Fatal(err)
	}
	if took < extra || took > near+3*extra {
		t.Errorf("a round trip takes %v, want %v more than %v", took, extra, near)
	}
	if err := way.close(); err != nil {
		t.Error(err)
	}
	if _, err := roundTrip(t.Context(), far); err == nil {
		t.Error("it works when the distance is closed")
	}
}

// TestDistanceLimitsNoBandwidth sends far more than the distance would let pass if each packet waited for the one before.
func TestDistanceLimitsNoBandwidth(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	sent := make([]byte, 16<<20)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write(sent)
	}()
	way, err := newDistance("tcp", server.Addr().String(), 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer way.close()
	began := time.Now()
	client, err := net.Dial("tcp", way.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	received, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(received, sent) {
		t.Fatalf("%d of %d bytes arrive: %v", len(received), len(sent), err)
	}
	if took := time.Since(began); took < 50*time.Millisecond || took > 10*time.Second {
		t.Errorf("%d bytes take %v", len(sent), took)
	}
}

func TestDelaysOfADistantDatabase(t *testing.T) {
	cfg := settings(t)
	cfg.Rate, cfg.LatencySeconds, cfg.ExtraRTT = 20, 1, 2*time.Millisecond
	report := &Report{}
	if err := onStage(t.Context(), &cfg, report, measureDistant); err != nil {
		t.Fatal(err)
	}
	far := report.Distant
	if len(report.Faults) > 0 || far.Approvals != 20 || far.ExtraRTT < 1.5 || far.Answered.P50 < 4 {
		t.Errorf("%+v, faults %q; want 2 ms more for each of two round trips at least", far, report.Faults)
	}
}

func TestServerOfAConnectionString(t *testing.T) {
	to := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 99}
	for _, from := range []config.Secret{
		"postgres://u:p@h:1/d?sslmode=disable&pool_max_conns=3", "postgres://u:p@/d?host=/run/postgresql&sslmode=disable", "host=h port=1 user=u password=p dbname=d",
	} {
		parsed, err := pgconn.ParseConfig(string(withServer(from, to)))
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Host != "127.0.0.1" || parsed.Port != 99 || parsed.Database != "d" || parsed.User != "u" || parsed.Password != "p" {
			t.Errorf("%s becomes %s:%d, %s", string(from), parsed.Host, parsed.Port, parsed.Database)
		}
	}
}
