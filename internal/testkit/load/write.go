package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/relaykey"
)

// Enlist adds a relay term to a deployment, so that events that it stamps and signs are the deployment's own.
func Enlist(ctx context.Context, pool *pgxpool.Pool) (Identity, error) {
	identity := Identity{Relay: events.NewUUIDv7(time.Now())}
	if err := pool.QueryRow(ctx, "SELECT '/applylens/' || id FROM deployment").Scan(&identity.Source); err != nil {
		return identity, fmt.Errorf("read deployment: %w", err)
	}
	keys, err := relaykey.Ensure(ctx, pool, nil, identity.Source)
	if err != nil {
		return identity, err
	}
	key := keys.Current()
	identity.Signer = key.Signer()
	if _, err := pool.Exec(ctx, "INSERT INTO relays (relay_id, reconciled_at, key_number) VALUES ($1, now(), $2)", identity.Relay, key.Number); err != nil {
		return identity, fmt.Errorf("add relay term: %w", err)
	}
	return identity, nil
}

// Source makes records.
type Source interface {
	Next() (Record, error)
}

// Writer writes the records of a source as the relay does: in order within each partition, acknowledged by all replicas.
type Writer struct {
	source Source
	client *kgo.Client
}

// Dial returns a client of Kafka with further options.
type Dial func(...kgo.Opt) (*kgo.Client, error)

// NewWriter returns a writer to a topic, which must have as many partitions as the source expects.
func NewWriter(source Source, brokers []string, topic string) (*Writer, error) {
	return DialWriter(source, topic, func(options ...kgo.Opt) (*kgo.Client, error) {
		return kgo.NewClient(append(options, kgo.SeedBrokers(brokers...))...)
	})
}

// DialWriter is NewWriter with a dial function instead of brokers.
func DialWriter(source Source, topic string, dial Dial) (*Writer, error) {
	client, err := dial(
		kgo.DefaultProduceTopic(topic), kgo.ClientID("applylens-load"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(900_000), kgo.MaxBufferedRecords(50_000),
		kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare Kafka producer: %w", err)
	}
	return &Writer{source, client}, nil
}

// Close drops records that are not yet written.
func (w *Writer) Close() { w.client.Close() }

// Write writes count records, at most perSecond a second (0: no limit), and returns when all are acknowledged. It waits
// for a broker that cannot be reached. After an error records may be missing in the middle of the log.
func (w *Writer) Write(ctx context.Context, count int, perSecond float64) error {
	limit := rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/50)))
	failed := firstError{}
	for range count {
		if perSecond > 0 {
			if err := limit.Wait(ctx); err != nil {
				return fmt.Errorf("write events: %w", err)
			}
		}
		made, err := w.source.Next()
		if err != nil {
			return err
		}
		w.client.Produce(ctx, wire(made), func(_ *kgo.Record, err error) { failed.set(err) })
	}
	if err := w.client.Flush(ctx); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return failed.get()
}

func wire(made Record) *kgo.Record {
	record := &kgo.Record{Key: made.Key, Value: made.Value, Partition: int32(made.Partition), Headers: make([]kgo.RecordHeader, len(made.Headers))}
	for i, header := range made.Headers {
		record.Headers[i] = kgo.RecordHeader{Key: header.Key, Value: header.Value}
	}
	return record
}

// firstError keeps the first error of many goroutines.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) set(err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = fmt.Errorf("write events: %w", err)
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
