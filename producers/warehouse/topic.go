package warehouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/kafkalog"
)

// Topic is a change topic in Debezium's format, of a table with the columns of vw_applications_enriched. It is not one of the
// deployment's own topics, so the topic prefix does not apply.
type Topic struct {
	Broker *broker.Conn
	Topic  string

	blocked map[int32]blocked // the partitions in which a transaction was open at the last look
}

// blocked is where an open transaction holds up a partition, and since when that is known.
type blocked struct {
	at    int64
	since time.Time
}

// Name identifies the topic as a source.
func (t *Topic) Name() string { return "kafka:" + t.Topic }

const (
	idleEvery   = 5 * time.Second  // how long a poll waits for records
	mostBatch   = 16 << 20         // bytes that one batch may unpack to
	mostUnpack  = 32 << 20         // bytes that batches may have unpacked to when another one of the same answer is begun
	mostIdle    = 4                // so many empty polls in a row count as the end, unless the topic is followed
	noteEvery   = time.Minute      // how often an idle topic is recorded as synced, and open transactions are looked for
	openFor     = 4 * time.Second  // how long a transaction is open before it is told of
	lookAgain   = time.Second      // how often at most an open transaction is looked for that is awaited
	reopenEvery = 10 * time.Minute // how often the topic's partitions and identity are checked again
	reopenSoon  = time.Minute      // the same while some partitions cannot be read
)

// SyncTopic reads a change topic up to its current end. Its error and summary are like those of Sync.
func SyncTopic(ctx context.Context, cfg Config, topic *Topic, accept *Acceptance) (*Summary, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return readTopic(ctx, &cfg, topic, accept, false)
}

// readTopic reads to the end, or follows the topic for reopenEvery. It returns at once if changes are held.
func readTopic(ctx context.Context, cfg *Config, topic *Topic, accept *Acceptance, follow bool) (*Summary, error) {
	s, err := begin(ctx, cfg, cfg.nameOf(topic))
	if err != nil {
		return nil, err
	}
	defer s.close()
	summary := s.newSummary(false)
	r := &topicReader{session: s, topic: topic, summary: summary, who: accept}
	if err := r.run(ctx, follow); err != nil {
		s.Metrics.syncs.WithLabelValues("failed").Inc()
		s.noteFailure(ctx, err)
		return nil, err
	}
	if summary.Held == nil {
		s.Metrics.syncs.WithLabelValues("done").Inc()
	}
	summary.Seconds = s.Now().Sub(summary.StartedAt).Seconds()
	return summary, nil
}

// topicReader reads one topic in one session.
type topicReader struct {
	*session
	topic   *Topic
	summary *Summary
	who     *Acceptance // accepts everything; nil: nothing

	found  broker.Topic
	next   map[int32]int64 // by partition
	ends   map[int32]int64 // at the start
	unread error           // of partitions that are in neither

	client   *kgo.Client
	unpacker *unpacker
	more     bool // the last poll left something of what it was given

	looked time.Time // for open transactions
	stuck  error     // of partitions in which one has been open for long
}

func (r *topicReader) run(ctx context.Context, follow bool) error {
	if err := r.findPlace(ctx); err != nil || r.summary.Held != nil {
		return err
	}
	if err := r.open(); err != nil {
		return err
	}
	defer r.client.Close()
	if err := r.look(ctx); err != nil {
		return err
	}
	noted, idle := time.Now(), 0
	reopen := noted.Add(reopenEvery)
	if follow && r.unread != nil {
		r.Log.Warn("partitions of the change topic have to wait", "topic", r.topic.Topic, "error", r.unread)
		reopen = noted.Add(reopenSoon)
	}
	for r.summary.Held == nil && (follow && time.Now().Before(reopen) || !follow && !r.caughtUp()) {
		records, err := r.poll(ctx)
		if err != nil {
			return err
		}
		if err := r.fold(ctx, records); err != nil {
			return err
		}
		if idle++; len(records) > 0 || r.more {
			idle = 0
		}
		if idle == mostIdle && !follow {
			break // the end: compaction has removed the last records
		}
		if time.Since(noted) > noteEvery {
			if err := r.note(ctx, len(records) == 0); err != nil {
				return err
			}
			noted = time.Now()
		}
	}
	if r.summary.Held != nil {
		return nil
	}
	if follow {
		return r.note(ctx, true)
	}
	if err := r.awaitTransactions(ctx); err != nil || r.summary.Held != nil {
		return err
	}
	if err := r.finish(ctx, false, false); err != nil {
		return err
	}
	return r.unread
}

// note records an idle topic as synced, unless there is more that cannot be read yet.
func (r *topicReader) note(ctx context.Context, idle bool) error {
	if err := r.look(ctx); err != nil {
		return err
	}
	if r.stuck != nil {
		r.Log.Warn("changes cannot be read", "topic", r.topic.Topic, "error", r.stuck)
		r.noteFailure(ctx, r.stuck)
		return nil
	}
	if !idle || len(r.topic.blocked) > 0 {
		return nil
	}
	r.tick()
	return r.finish(ctx, false, false)
}

// awaitTransactions reads what stands behind the transactions that were open at the last look, unless they stay open.
func (r *topicReader) awaitTransactions(ctx context.Context) error {
	waited := maps.Clone(r.topic.blocked)
	for r.stuck == nil && r.summary.Held == nil {
		maps.DeleteFunc(waited, func(partition int32, b blocked) bool { return r.next[partition] > b.at })
		if len(waited) == 0 {
			return nil
		}
		records, err := r.poll(ctx)
		if err != nil {
			return err
		}
		if err := r.fold(ctx, records); err != nil {
			return err
		}
		if time.Since(r.looked) < lookAgain {
			continue
		}
		if err := r.look(ctx); err != nil {
			return err
		}
	}
	return r.stuck
}

// look looks for open transactions. The high watermarks come first, so that what is written between the two questions is not
// taken for one.
func (r *topicReader) look(ctx context.Context) error {
	marks, err := kafkalog.HighWatermarks(ctx, r.topic.Broker, r.topic.Topic)
	if err != nil && len(marks) == 0 {
		return err
	}
	_, ends, err := kafkalog.Ends(ctx, r.topic.Broker, r.topic.Topic)
	if err != nil && len(ends) == 0 {
		return err
	}
	before := r.topic.blocked
	r.topic.blocked, r.stuck, r.looked = map[int32]blocked{}, nil, time.Now()
	for number, mark := range marks {
		partition := int32(number)
		end, known := ends[number]
		if _, reads := r.next[partition]; !reads || !known || end >= mark {
			continue
		}
		b, again := before[partition]
		if !again || b.at != end {
			b = blocked{end, time.Now()}
		}
		r.topic.blocked[partition] = b
		if time.Since(b.since) >= openFor {
			r.stuck = errors.Join(r.stuck, fmt.Errorf("an open transaction of another producer holds up %d records of %s/%d from offset %d on: it has to be ended or aborted",
				mark-end, r.topic.Topic, partition, end))
		}
	}
	return nil
}

// open starts a read-committed consumer at the positions. It keeps control records, since positions move past them.
func (r *topicReader) open() (err error) {
	offsets := map[int32]kgo.Offset{}
	for partition, next := range r.next {
		offsets[partition] = kgo.NewOffset().At(next)
	}
	r.unpacker = &unpacker{batch: mostBatch, answer: mostUnpack}
	r.client, err = r.topic.Broker.Reader(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic.Topic: offsets}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(1<<20), kgo.FetchMaxPartitionBytes(256<<10), kgo.WithDecompressor(r.unpacker))
	return err
}

func (r *topicReader) caughtUp() bool {
	for partition, end := range r.ends {
		if r.next[partition] < end {
			return false
		}
	}
	return true
}

// poll returns the next records of any partitions, in order within each; none after idleEvery.
func (r *topicReader) poll(ctx context.Context) ([]*kgo.Record, error) {
	limited, cancel := context.WithTimeout(ctx, idleEvery)
	defer cancel()
	r.unpacker.renew()
	r.more = false
	fetches := r.client.PollRecords(limited, chunkRows)
	for _, failed := range fetches.Errors() {
		if errors.Is(failed.Err, errEnough) {
			r.more = true
			continue
		}
		if errors.Is(failed.Err, context.DeadlineExceeded) && ctx.Err() == nil {
			continue
		}
		if errors.Is(failed.Err, kgo.ErrMaxDecompress) {
			return nil, fmt.Errorf("read %s/%d: the batch at offset %d unpacks to more than %d bytes: let its producer make smaller batches, and read the table anew",
				failed.Topic, failed.Partition, r.next[failed.Partition], mostBatch)
		}
		return nil, fmt.Errorf("read %s/%d: %w", failed.Topic, failed.Partition, failed.Err)
	}
	return fetches.Records(), ctx.Err()
}

// fold applies records. A truncation is applied by itself, since it separates the records before and after it.
func (r *topicReader) fold(ctx context.Context, records []*kgo.Record) error {
	rest := records
	for len(rest) > 0 && r.summary.Held == nil {
		changes, read, err := r.changesOf(ctx, rest)
		if err != nil || r.summary.Held != nil {
			return err
		}
		if err := r.foldChanges(ctx, changes, rest[:read]); err != nil {
			return err
		}
		rest = rest[read:]
	}
	return nil
}

// changesOf parses records up to a truncation, or only the truncation if it is the first.
func (r *topicReader) changesOf(ctx context.Context, records []*kgo.Record) (changes []change, read int, err error) {
	if err := r.reset(ctx); err != nil {
		return nil, 0, err
	}
	for _, record := range records {
		c := change{}
		switch size := len(record.Key) + len(record.Value); {
		case size > exportLimits.row:
			err = fmt.Errorf("has %d bytes, the most is %d", size, exportLimits.row)
		case !record.Attrs.IsControl():
			c, err = parseChange(record.Key, record.Value)
		}
		var drift *DriftError
		switch {
		case errors.As(err, &drift):
			return nil, 0, r.hold(ctx, r.summary, &Hold{HoldSchema, fmt.Sprintf("%s in record %d of partition %d", drift.Detail, record.Offset, record.Partition)})
		case err != nil:
			r.read++
			r.report(&application{}, []Fault{{"", fmt.Sprintf("record %d of partition %d %v", record.Offset, record.Partition, err)}}, true)
		case c.kind == changeTruncate && read > 0:
			return changes, read, nil
		case c.kind == changeTruncate:
			return []change{c}, 1, nil
		case c.kind != changeNone:
			changes = append(changes, c)
		}
		err = nil
		read++
	}
	return changes, read, nil
}

// foldChanges applies changes, and advances the positions past their records.
func (r *topicReader) foldChanges(ctx context.Context, changes []change, records []*kgo.Record) error {
	r.tick()
	truncated := len(changes) == 1 && changes[0].kind == changeTruncate
	if !truncated {
		if err := r.load(ctx, changes); err != nil {
			return err
		}
	}
	differences, hold, err := r.compare(ctx, truncated)
	if err != nil {
		return err
	}
	if err := r.summarize(ctx, r.summary); err != nil {
		return err
	}
	if truncated && differences > 0 {
		hold = &Hold{HoldRemoved, fmt.Sprintf("the table was truncated: all %d applications would vanish", differences)}
	}
	if passes, err := r.pass(ctx, r.summary, hold, differences, r.who); err != nil || !passes {
		return err
	}
	done, err := r.apply(ctx, differences, func(tx pgx.Tx) error { return r.advance(ctx, tx, records) })
	if err != nil {
		return err
	}
	r.summary.add(done)
	for _, record := range records {
		r.next[record.Partition] = record.Offset + 1
	}
	if err := r.finish(ctx, false, hold != nil); err != nil {
		return err
	}
	if r.stuck != nil {
		r.noteFailure(ctx, r.stuck)
	}
	return nil
}

// load copies the last readable state of each application.
func (r *topicReader) load(ctx context.Context, changes []change) error {
	type key struct{ system, id string }
	place, d := map[key]int{}, &decoder{at: inOrder}
	for _, c := range changes {
		if c.kind == changeDelete {
			c.values[columnDeleted] = true
		}
		a, hasKey := r.parse(d, c.values)
		if !hasKey {
			continue
		}
		at, again := place[key{a.system, a.id}]
		switch {
		case !again:
			place[key{a.system, a.id}] = len(r.loaded)
			r.loaded = append(r.loaded, a)
		case !a.broken:
			r.loaded[at] = a
		}
	}
	return r.flush(ctx)
}
