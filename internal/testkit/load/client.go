package load

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// MaxBatchBytes is the largest batch that a broker accepts by default.
const MaxBatchBytes = 1 << 20

// laneBuffer is how many records wait for a lane.
const laneBuffer = 2000

// codecs are the compressions by their usual names.
var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// Compressions lists the compressions that Client supports.
var Compressions = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Client writes records as the producer of a service does. It fills its batches exactly, so that the same source gives
// the same batches every time.
type Client struct {
	Dial         Dial
	Topic        string
	Partitions   int
	Compression  string // one of Compressions
	BatchBytes   int    // before compression; a larger record is a batch of its own. At most MaxBatchBytes.
	BatchRecords int    // 0: as many as BatchBytes allows
}

// Fill writes count records of the source and returns the number of batches once all are acknowledged.
func (c *Client) Fill(ctx context.Context, source Source, count int) (batches int, err error) {
	if _, known := codecs[c.Compression]; !known || c.BatchBytes < 1 || c.BatchBytes > MaxBatchBytes || c.BatchRecords < 0 {
		return 0, fmt.Errorf("client with batches of %d bytes and %d records, compression %q: not possible", c.BatchBytes, c.BatchRecords, c.Compression)
	}
	lanes := make([]*lane, c.Partitions)
	running, ctx := errgroup.WithContext(ctx)
	for i := range lanes {
		if lanes[i], err = c.newLane(); err != nil {
			break
		}
		defer lanes[i].client.Close()
	}
	if err != nil {
		return 0, err
	}
	for _, l := range lanes {
		running.Go(func() error { return l.run(ctx) })
	}
	running.Go(func() error { return deal(ctx, source, count, lanes) })
	if err := running.Wait(); err != nil {
		return 0, fmt.Errorf("write events: %w", err)
	}
	for _, l := range lanes {
		batches += l.batches
	}
	return batches, nil
}

// deal passes each record to the lane of its partition.
func deal(ctx context.Context, source Source, count int, lanes []*lane) error {
	for _, l := range lanes {
		defer close(l.records)
	}
	for range count {
		made, err := source.Next()
		if err != nil {
			return err
		}
		select {
		case lanes[made.Partition].records <- made:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// lane writes the records of one partition, batch after batch.
type lane struct {
	client       *kgo.Client
	records      chan Record
	most         int // bytes of a batch
	mostRecords  int
	bytes, count int // of the open batch
	batches      int
	failed       firstError
}

func (c *Client) newLane() (*lane, error) {
	client, err := c.Dial(
		kgo.ClientID("applylens-load"), kgo.DefaultProduceTopic(c.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ManualFlushing(), kgo.MaxBufferedRecords(MaxBatchBytes), kgo.ProducerBatchMaxBytes(MaxBatchBytes),
		kgo.ProducerBatchCompression(codecs[c.Compression]),
	)
	if err != nil {
		return nil, err
	}
	return &lane{client: client, records: make(chan Record, laneBuffer), most: c.BatchBytes, mostRecords: c.BatchRecords}, nil
}

func (l *lane) run(ctx context.Context) error {
	for record := range l.records {
		length := size(&record.Record)
		if l.count > 0 && (l.bytes+length > l.most || l.count == l.mostRecords) {
			if err := l.flush(ctx); err != nil {
				return err
			}
		}
		l.bytes, l.count = l.bytes+length, l.count+1
		l.client.Produce(ctx, wire(record), func(_ *kgo.Record, err error) { l.failed.set(err) })
	}
	return l.flush(ctx)
}

// flush writes the open batch.
func (l *lane) flush(ctx context.Context) error {
	if l.count > 0 {
		l.batches++
	}
	l.bytes, l.count = 0, 0
	return errors.Join(l.client.Flush(ctx), l.failed.get())
}
