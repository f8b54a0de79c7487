package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/internal/config"
)

const (
	packetBytes    = 32 << 10
	packetsOnWay   = 1024 // in flight in one direction of a connection
	roundTripTests = 200
)

// distance is a TCP proxy that adds latency: every packet arrives later by half of the extra round trip, in either
// direction. It does not limit bandwidth: packets travel at the same time, as on a real network.
type distance struct {
	listener         net.Listener
	network, address string // of the server
	oneWay           time.Duration
	ctx              context.Context
	cancel           context.CancelFunc
	running          sync.WaitGroup
}

// newDistance listens on a free port of the loopback interface.
func newDistance(network, address string, extra time.Duration) (*distance, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for clients of a distant server: %w", err)
	}
	d := &distance{listener: listener, network: network, address: address, oneWay: extra / 2}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.running.Go(d.accept)
	return d, nil
}

// close ends all connections and waits for them.
func (d *distance) close() error {
	d.cancel()
	err := d.listener.Close()
	d.running.Wait()
	return err
}

func (d *distance) accept() {
	for {
		client, err := d.listener.Accept()
		if err != nil {
			return // closed
		}
		d.running.Go(func() { d.serve(client) })
	}
}

// serve carries one connection until either side ends it.
func (d *distance) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(d.network, d.address)
	if err != nil {
		return // the client sees a closed connection, as when the server is down
	}
	defer server.Close()
	stop := context.AfterFunc(d.ctx, func() { client.Close(); server.Close() })
	defer stop()
	var directions sync.WaitGroup
	directions.Go(func() { d.carry(client, server) })
	directions.Go(func() { d.carry(server, client) })
	directions.Wait()
}

// packet is the bytes of one read, and when they are due.
type packet struct {
	bytes []byte
	due   time.Time
}

// carry copies from one side to the other with the delay until either side ends, then closes both.
func (d *distance) carry(from, to net.Conn) {
	way := make(chan packet, packetsOnWay)
	var delivering sync.WaitGroup
	delivering.Go(func() {
		deliver(way, to)
		from.Close()
		to.Close()
		for range way { // drain, so that the reader does not block
		}
	})
	buffer := make([]byte, packetBytes)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			way <- packet{slices.Clone(buffer[:n]), time.Now().Add(d.oneWay)}
		}
		if err != nil {
			break
		}
	}
	close(way)
	delivering.Wait()
}

// deliver writes each packet when it is due.
func deliver(way <-chan packet, to net.Conn) {
	for p := range way {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			return
		}
	}
}

// distant starts a distance to a database and returns the connection string that goes through it.
func distant(connection config.Secret, extra time.Duration) (*distance, config.Secret, error) {
	parsed, err := pgconn.ParseConfig(string(connection))
	if err != nil {
		return nil, "", fmt.Errorf("--database-url: %w", err)
	}
	network, address := pgconn.NetworkAddress(parsed.Host, parsed.Port)
	d, err := newDistance(network, address, extra)
	if err != nil {
		return nil, "", err
	}
	return d, withServer(connection, d.listener.Addr().(*net.TCPAddr)), nil
}

// withServer replaces host and port in a connection string, a URL or keywords and values.
func withServer(connection config.Secret, server *net.TCPAddr) config.Secret {
	address, err := url.Parse(string(connection))
	if err != nil || address.Scheme == "" {
		return connection + config.Secret(fmt.Sprintf(" host=%s port=%d", server.IP, server.Port))
	}
	query := address.Query()
	query.Del("host")
	query.Del("port")
	address.Host, address.RawQuery = server.String(), query.Encode()
	return config.Secret(address.String())
}

// roundTrip measures the median time of a round trip to a database.
func roundTrip(ctx context.Context, connection config.Secret) (_ time.Duration, err error) {
	conn, err := pgx.Connect(ctx, string(connection))
	if err != nil {
		return 0, fmt.Errorf("measure a round trip to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	times := make([]time.Duration, roundTripTests)
	for i := range times {
		began := time.Now()
		if err := conn.Ping(ctx); err != nil {
			return 0, fmt.Errorf("measure a round trip to PostgreSQL: %w", err)
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}
