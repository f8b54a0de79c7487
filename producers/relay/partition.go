package relay

import (
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/internal/retry"
)

// stage is how far the relay's knowledge of a partition's log goes.
type stage int

const (
	stageCheck stage = iota // it is not known whether the published records are still there
	stageRead               // the records behind them are being read
	stageReady              // the database knows every record of ours in the log
)

// partition is what a term knows about one partition. Only the term's loop touches it.
type partition struct {
	topicPartition
	topicID kadm.TopicID
	epoch   int32 // of the leader

	known bool  // relay_partitions has a row for this topic id
	next  int64 // one past the last record known to be ours

	stage   stage
	wasRead bool  // to its end, in this term
	reading int64 // the offset to read on from
	end     int64 // the end of the log when it was checked

	// sure is a next that the present leader is known to have; likely becomes sure with the next layout.
	sure, likely int64
	moved        bool // the leader epoch has changed since the last check

	queue   []*row // sequenced, in order, to be published next
	bytes   int    // of queue
	spilled bool   // rows that belong behind queue are in the table only
	most    int    // records in one request: fewer after a refusal, to find the record that is refused
	limit   int    // bytes of one request

	refusal      refusal
	untimedUntil time.Time // records are sent without a time until then

	busy     bool // a goroutine publishes or inspects it
	since    time.Time
	attempts int
	retryAt  time.Time
}

func newPartition(at topicPartition, id kadm.TopicID, epoch int32, limit int) *partition {
	return &partition{topicPartition: at, topicID: id, epoch: epoch, most: batchRows, limit: limit, spilled: true}
}

// requireInspection has the log inspected before anything more is published. The queue is dropped: its rows are in the
// table.
func (p *partition) requireInspection() {
	p.stage, p.queue, p.bytes, p.spilled = stageCheck, nil, 0, true
}

// read notes that the log is read up to an offset.
func (p *partition) read(offset int64) {
	p.reading = offset
	if offset >= p.end {
		p.stage = stageReady
	}
}

// push queues a row, or leaves it to the table when too many wait.
func (p *partition) push(r *row) {
	if p.spilled || p.stage != stageReady || len(p.queue) >= queueRows || p.bytes >= queueBytes {
		p.spilled = true
		return
	}
	p.queue = append(p.queue, r)
	p.bytes += r.size()
}

// crowded tells whether to assign no more sequences for now: the partition makes progress and has enough queued.
func (p *partition) crowded(now time.Time) bool {
	slow := p.busy && now.Sub(p.since) > time.Second
	return p.stage == stageReady && !slow && p.attempts == 0 && (len(p.queue) > queueRows/2 || p.bytes > queueBytes/2)
}

// cut returns the rows of the next request: as many as fit, at least one.
func (p *partition) cut() []*row {
	n, bytes := 0, 0
	for _, r := range p.queue {
		bytes += r.size()
		if n > 0 && (n >= p.most || bytes > p.limit) {
			break
		}
		n++
	}
	return p.queue[:n:n]
}

// published takes n rows off the queue, the first of which is at offset base.
func (p *partition) published(n int, base int64) {
	for _, r := range p.queue[:n] {
		p.bytes -= r.size()
	}
	p.queue = p.queue[n:]
	p.next = base + int64(n)
	p.attempts = 0
	p.most = min(p.most*2, batchRows)
}

// due tells whether the partition may be worked on.
func (p *partition) due(now time.Time) bool { return !p.busy && !now.Before(p.retryAt) }

func (p *partition) failed(now time.Time) {
	p.attempts++
	p.retryAt = now.Add(backoff(p.attempts, rand.Float64()))
}

// backoff is the pause before attempt n+1: it doubles from 50 ms to 5 s, less up to a half by chance in [0,1).
func backoff(n int, chance float64) time.Duration {
	return retry.Delay(n-1, firstRetry, lastRetry, 1-chance)
}
