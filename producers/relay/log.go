package relay

import (
	"bytes"
	"context"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/relaykey"
)

// entry is a record of the log that carries a relay sequence and is ours.
type entry struct {
	offset int64
	time   time.Time
	head   events.Head
	key    *relaykey.Key // that signed it; nil: its term signs nothing
	value  []byte
}

// readLog returns our records with a relay sequence from offset on that one request brings, and the offset to read on
// from. It reads uncommitted, so that an open transaction of another producer hides nothing. Records of transactions and
// batches that cannot be read are passed over: the relay writes neither.
func readLog(ctx context.Context, conn *broker.Conn, trust *trust, at topicPartition, offset int64, maxBytes int) ([]entry, int64, error) {
	reader := kafkalog.Reader{Conn: conn, Topic: conn.Topic(at.topic), MaxBytes: maxBytes, MaxWait: readWait, Uncommitted: true}
	chunk, err := reader.Fetch(ctx, at.partition, offset)
	if err != nil {
		return nil, offset, err
	}
	defer chunk.Release()
	var entries []entry
	decoder, signers, size := events.NewDecoder(), relaykey.Signers{}, 0
	for r := chunk.Read(); r != nil; r = chunk.Read() {
		if r.Transactional || r.Err != nil {
			continue
		}
		head, _, err := decoder.Open(r.Headers, r.Value) // a redriven record may be structured
		if err != nil || head.Relay.IsZero() {
			continue // another producer's
		}
		key, ours := trust.recognise(signers, at, &head, r)
		if !ours {
			continue // forged
		}
		entries = append(entries, entry{offset: r.Offset, time: r.Time, head: head, key: key, value: bytes.Clone(r.Value)})
		if size += len(r.Value); size >= entryBytes {
			return entries, r.Last + 1, nil
		}
	}
	return entries, chunk.Next, nil
}
