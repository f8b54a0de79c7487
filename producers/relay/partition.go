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
	stageCheck stage = iota // whether what was published is still there is to be found out
	stageRead               // what stands behind it is being read
	stageReady              // nothing of ours is in the log that the table does not know
)

// partition is what a term knows of one partition. Only the term's loop touches it.
type partition struct {
	place
	topicID kadm.TopicID
	epoch   int32 // of the leader

	known bool  // relay_partitions has a row for this topic id
	next  int64 // one past the last record known to be ours

	stage   stage
	reading int64 // where reading goes on
	end     int64 // where it ends: the end of the log when it was checked

	// sure is a next that the present leader epoch is known to have seen; likely becomes sure with the next layout.
	sure, likely int64
	moved        bool // the leader epoch has changed since the last check

	queue   []*row // stamped, in order, to be published next
	bytes   int    // of queue
	spilled bool   // stamped rows that belong behind queue stand in the table only
	most    int    // records in one request: fewer after a refusal, to find the record that is refused
	limit   int    // bytes of one request

	busy     bool // a goroutine works on it: publishing or inspecting
	since    time.Time
	attempts int
	retryAt  time.Time
}

func newPartition(at place, id kadm.TopicID, epoch int32, limit int) *partition {
	return &partition{place: at, topicID: id, epoch: epoch, most: batchRows, limit: limit, spilled: true}
}

// doubt makes the relay inspect the log before it publishes anything more. What was queued is in the table too.
func (p *partition) doubt() {
	p.stage, p.queue, p.bytes, p.spilled = stageCheck, nil, 0, true
}

// read notes that everything before an offset is known.
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

// crowded tells whether to wait with stamping: the partition is making progress and has enough to do.
func (p *partition) crowded(now time.Time) bool {
	slow := p.busy && now.Sub(p.since) > time.Second
	return p.stage == stageReady && !slow && p.attempts == 0 && (len(p.queue) > queueRows/2 || p.bytes > queueBytes/2)
}

// cut returns the rows of the next request: as many as fit, and at least one.
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

// published takes n rows off the queue, whose first got the offset base.
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
