package ledger

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/postgres"
)

const (
	// beginLeasesSQL begins the transaction in which leases are held. It stays open, so that a pooler in transaction mode
	// keeps the server's connection for it, and so that the server ends it when nothing is heard from this process any more.
	// Between statements it holds no snapshot and keeps nothing from being vacuumed.
	beginLeasesSQL = `
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '15s'`

	tryLeaseSQL     = `SELECT pg_try_advisory_lock($1, $2)`
	releaseLeaseSQL = `SELECT pg_advisory_unlock($1, $2)`
)

// leaseBeat is how often a process tells PostgreSQL that it is still there.
const leaseBeat = 5 * time.Second

// Leases divide the partitions of a version that is being built among processes: a partition has at most one holder, and
// a process that dies loses its leases. They only save work that would be rolled back: it is the compare-and-set of the
// positions that keeps two processes from folding a record twice. They are advisory locks of one connection beside the
// pool. All methods may be called concurrently.
type Leases struct {
	pool *pgxpool.Pool
	key  int32
	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	conn *pgx.Conn
	held map[int]bool
}

// OpenLeases connects to lease partitions of a version.
func OpenLeases(ctx context.Context, pool *pgxpool.Pool, group string, version int) (*Leases, error) {
	l := &Leases{pool: pool, key: leaseKey(group, version), done: make(chan struct{}), held: map[int]bool{}}
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go l.beat(beating)
	return l, nil
}

// leaseKey is the first half of the advisory locks of a version. The second is the slot.
func leaseKey(group string, version int) int32 {
	sum := fnv.New32a()
	fmt.Fprintf(sum, "applylens rebuild %s %d", group, version)
	return int32(sum.Sum32())
}

// Comparing is leased by the one process that may take the partitions from others.
const Comparing = -1

// slot is the second half of the lock of a partition: 0 is for Comparing.
func slot(partition int) int32 { return int32(partition + 1) }

func (l *Leases) connect(ctx context.Context) error {
	conn, err := postgres.Connect(ctx, l.pool, nil, func(settings *pgx.ConnConfig) {
		settings.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // the other protocol leaves a portal, and its snapshot, open
	})
	if err != nil {
		return fmt.Errorf("connect to lease partitions: %w", err)
	}
	if _, err := conn.Exec(ctx, beginLeasesSQL); err != nil {
		postgres.Close(conn)
		return fmt.Errorf("connect to lease partitions: %w", err)
	}
	l.conn = conn
	return nil
}

// beat keeps the connection alive, and makes another when it is lost. What was leased by it is leased again, unless somebody
// was quicker.
func (l *Leases) beat(ctx context.Context) {
	defer close(l.done)
	ticker := time.NewTicker(leaseBeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		l.mu.Lock()
		if postgres.Ping(ctx, l.conn) != nil {
			_ = l.reconnect(ctx) // the next beat, or Try, tries again
		}
		l.mu.Unlock()
	}
}

func (l *Leases) reconnect(ctx context.Context) error {
	postgres.Close(l.conn)
	if err := l.connect(ctx); err != nil {
		return err
	}
	for partition := range l.held {
		if _, err := l.ask(ctx, partition); err != nil {
			return err
		}
	}
	return nil
}

// Try leases a partition and tells whether it did: not when a process, be it this one, has leased it.
func (l *Leases) Try(ctx context.Context, partition int) (leased bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[partition] {
		return false, nil
	}
	if l.conn.IsClosed() {
		if err := l.reconnect(ctx); err != nil {
			return false, err
		}
	}
	if leased, err = l.ask(ctx, partition); leased {
		l.held[partition] = true
	}
	return leased, err
}

// ask asks for the lock. After an error the connection is of no use, since its transaction has failed.
func (l *Leases) ask(ctx context.Context, partition int) (leased bool, err error) {
	if err := l.conn.QueryRow(ctx, tryLeaseSQL, l.key, slot(partition)).Scan(&leased); err != nil {
		postgres.Close(l.conn)
		return false, fmt.Errorf("lease partition %d: %w", partition, err)
	}
	return leased, nil
}

// Release gives partitions up. A lost connection has released them already.
func (l *Leases) Release(ctx context.Context, partitions ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, partition := range partitions {
		if l.held[partition] {
			delete(l.held, partition)
			_, _ = l.conn.Exec(ctx, releaseLeaseSQL, l.key, slot(partition))
		}
	}
}

// Close gives all leases up.
func (l *Leases) Close() {
	l.stop()
	<-l.done
	postgres.Close(l.conn)
}
