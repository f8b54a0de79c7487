package consumers

import (
	"context"
	"fmt"

	"github.com/applylens/applylens/consumers/ledger"
)

// Anybody who may write to a topic can write what cannot be folded. That must not stop the partition for all others, so
// each source has a quota of its own: when too many of its records were refused, it is set aside, and what it writes becomes
// dead letters unread until an operator releases it. Only the records of our own relay count for the partition's breaker.

// noSource stands for all records that do not tell their source.
const noSource = "(none)"

// mostSources bounds for how many sources a partition counts: anybody can invent more. What the others write is
// refused record by record.
const mostSources = 1000

// countSource counts a record of another producer.
func (w *worker) countSource(e *entry) {
	c := w.cursors[e.part]
	quota, counted := c.sources[e.source]
	if !counted {
		if quota, counted = e.part.sources[e.source]; !counted && len(e.part.sources) >= mostSources {
			return
		}
		quota.limit = w.s.cfg.DeadLetterLimit
	}
	quota.add(e.letter != nil)
	if c.sources == nil {
		c.sources = map[string]breaker{}
	}
	c.sources[e.source] = quota
}

// isAside tells whether the source of a record is set aside.
func (p *partition) isAside(source string, offset int64) bool {
	for i := range p.aside {
		if p.aside[i].Covers(source, offset) {
			return true
		}
	}
	return false
}

// takeOverSources makes what a batch counted part of what is committed, and sets sources aside that are above their quota. Records
// that were decided on already are not concerned. A version that is not live leaves that to the live one.
func (w *worker) takeOverSources(ctx context.Context, part *partition) error {
	c := w.cursors[part]
	for source, quota := range c.sources {
		if part.sources == nil {
			part.sources = map[string]breaker{}
		}
		part.sources[source] = quota
		if w.s.log.Shadow || quota.dead <= quota.limit || part.isAside(source, c.read) {
			continue
		}
		if err := w.setAside(ctx, part, source, c.read, quota); err != nil {
			return err
		}
		delete(part.sources, source)
	}
	return nil
}

func (w *worker) setAside(ctx context.Context, part *partition, source string, from int64, quota breaker) error {
	at := ledger.Position{Next: part.next, OwnerEpoch: part.ownerEpoch}
	detail := fmt.Sprintf("%d of its last %d records could not be applied", quota.dead, quota.records)
	err := w.retryUnlessFenced(ctx, "setting a source aside", func() error {
		return w.s.log.SetAside(ctx, w.s.cfg.Pool, part.id, at, source, from, detail)
	})
	if err != nil {
		return err
	}
	part.aside = append(part.aside, ledger.Aside{Source: source, From: from})
	w.s.cfg.Metrics.setAside.WithLabelValues(w.s.log.Group).Inc()
	w.s.cfg.Log.Error("source set aside: its records become dead letters", "group", w.s.log.Group, "topic", w.s.log.Topic, "partition", part.id,
		"source", source, "from_offset", from, "detail", detail, "to_do", fmt.Sprintf("see applylens deadletters list %[1]s; when it is mended: applylens sources release %[1]s SOURCE --reason ...", w.s.log.Group))
	return nil
}
