package relay

import (
	"context"
	"errors"
	"time"
)

// result is what a goroutine hands back: published rows or an inspection.
type result struct {
	p *partition

	rows    []*row
	untimed bool // they were sent without a time
	base    int64

	inspection *inspection
	err        error
}

// drain waits for the requests in flight and notes what they published.
func (t *term) drain(ctx context.Context) error {
	for _, p := range t.partitions {
		for p.busy {
			select {
			case <-ctx.Done():
				return errors.New("requests to Kafka did not end in time")
			case r := <-t.results:
				if err := t.receive(ctx, r); err != nil {
					return err
				}
			}
		}
	}
	return t.notePublished(ctx)
}

// start runs work for a partition in a goroutine of its own.
func (t *term) start(p *partition, work func(ctx context.Context) result) {
	p.busy, p.since = true, time.Now()
	t.helpers.Go(func() {
		ctx, cancel := context.WithTimeout(t.request, requestLimit)
		defer cancel()
		r := work(ctx)
		r.p = p
		select {
		case t.results <- r:
		case <-t.request.Done():
		}
	})
}

func (t *term) receive(ctx context.Context, r result) error {
	p := t.partitions[r.p.topicPartition]
	p.busy = false
	if p != r.p {
		return nil // the topic has been recreated
	}
	if r.inspection != nil {
		return t.receiveInspection(ctx, r)
	}
	return t.receivePublished(ctx, r)
}

// receiveAll takes the results that are there already, so that one transaction notes them all.
func (t *term) receiveAll(ctx context.Context, r result) error {
	ctx, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	for {
		if err := t.receive(ctx, r); err != nil {
			return err
		}
		select {
		case r = <-t.results:
		default:
			return nil
		}
	}
}
