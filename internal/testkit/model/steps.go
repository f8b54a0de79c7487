package model

import "slices"

// stepper collects the possible next steps.
type stepper struct {
	*settings
	from  *state
	yield func(step, *state) bool
	over  bool
}

// steps calls yield with every possible action and the resulting state, until yield returns false.
func (s *state) steps(c *settings, yield func(step, *state) bool) {
	x := &stepper{settings: c, from: s, yield: yield}
	for w := range uint8(workers) {
		x.membership(w)
		if me := &s.workers[w]; me.alive && !me.paused {
			for p := range uint8(c.partitions) {
				x.work(w, p)
			}
		}
	}
	x.server()
	x.coordinator()
	x.kafka()
	x.operator()
}

// none means no worker or no partition in a step.
const none = 0xff

// to yields the state after change.
func (x *stepper) to(name string, w, p uint8, argument int, change func(*state)) {
	if x.over {
		return
	}
	next := *x.from
	next.broken = ""
	change(&next)
	next.normalize()
	x.over = !x.yield(step{name, int8(w), int8(p), int8(argument)}, &next)
}

// fault is like to, for actions of which a run allows only a few.
func (x *stepper) fault(name string, w, p uint8, argument int, change func(*state)) {
	if x.from.faults == 0 || x.only != nil && !slices.Contains(x.only, name) {
		return
	}
	x.to(name, w, p, argument, func(s *state) {
		s.faults--
		change(s)
	})
}

// membership is a worker joining, leaving and crashing.
func (x *stepper) membership(w uint8) {
	me := &x.from.workers[w]
	switch {
	case !me.alive:
		x.to("restart", w, none, 0, func(s *state) { s.workers[w] = worker{alive: true} })
		return
	case me.paused:
		x.to("resume", w, none, 0, func(s *state) { s.workers[w].paused = false })
		return
	}
	if me.generation != x.from.generation && !x.from.writes(w) {
		x.to("join", w, none, 0, func(s *state) { s.join(w) })
	}
	x.fault("crash", w, none, 0, func(s *state) { s.crash(w) })
	x.fault("pause", w, none, 0, func(s *state) { s.workers[w].paused = true })
}

// writes reports whether a worker has an open transaction, which it finishes before it joins again.
func (s *state) writes(w uint8) bool {
	for _, c := range s.workers[w].claims {
		if c.phase == writing {
			return true
		}
	}
	return false
}

func (s *state) join(w uint8) {
	if !s.members[w] {
		s.members[w] = true
		s.reassign()
	}
	s.workers[w] = worker{alive: true, generation: s.generation}
}

// reassign begins a generation in which the members share the partitions. It does not wait for members that do not know it
// yet: their session may have timed out.
func (s *state) reassign() {
	s.generation++
	var present []uint8
	for w := range uint8(workers) {
		if s.members[w] {
			present = append(present, w)
		}
	}
	for p := range s.assigned {
		s.assigned[p] = 0
		if len(present) > 0 {
			s.assigned[p] = present[p%len(present)] + 1
		}
	}
}

// crash ends a process; the server rolls back transactions without a COMMIT.
func (s *state) crash(w uint8) {
	s.workers[w] = worker{}
	for v := range s.txs {
		for p := range s.txs[v] {
			if t := &s.txs[v][p]; t.worker == w && (t.txPhase == opened || t.txPhase == effected) {
				*t = tx{}
			}
		}
	}
}

// fence is what a worker does when it finds another owner: it drops the claim and joins again.
func (s *state) fence(w, p uint8) {
	s.workers[w].claims[p] = claim{}
	s.workers[w].generation = 0
}

// work is what a running worker can do on a partition.
func (x *stepper) work(w, p uint8) {
	me := &x.from.workers[w]
	c := &me.claims[p]
	switch c.phase {
	case unclaimed:
		x.claim(w, p)
	case claimed:
		x.fetch(w, p)
	case fetched:
		x.to("inspect", w, p, 0, func(s *state) { s.inspect(x.settings, w, p) })
	case inspected, unsure:
		if x.from.txs[c.version][p].txPhase == closed { // otherwise it waits for the row lock
			x.to("compare_and_set", w, p, 0, func(s *state) { s.compareAndSet(x.settings, w, p) })
		}
	case writing:
		x.write(w, p)
	case committed:
		x.to("mirror", w, p, 0, func(s *state) { s.mirror(w, p, s.workers[w].claims[p].next) })
		x.to("mirror_late", w, p, 0, func(s *state) { s.workers[w].claims[p].phase = claimed })
	}
}

func (x *stepper) claim(w, p uint8) {
	s := x.from
	r := &s.rows[s.live][p]
	mine := s.workers[w].generation == s.generation && s.assigned[p] == w+1
	if !mine || r.halted || s.txs[s.live][p].txPhase != closed {
		return
	}
	x.to("claim", w, p, 0, func(s *state) {
		r := &s.rows[s.live][p]
		r.owner++
		if r.topic != s.topic || s.lost(x.settings, p, r.next, r.leaderEpoch) {
			r.halted = true
			return
		}
		s.workers[w].claims[p] = claim{
			phase: claimed, version: s.live, topic: r.topic, owner: r.owner, code: r.code, next: r.next, leaderEpoch: r.leaderEpoch,
		}
	})
}

// lost reports whether the log no longer has the records read up to next, the last of them in the given leader epoch.
func (s *state) lost(c *settings, p, next, epoch uint8) bool {
	l := &s.logs[p]
	return next > l.length || c.has(leaderEpoch) && epoch > 0 && l.end(epoch) < next
}

// fetch reads by the topic's name, whichever topic has it now.
func (x *stepper) fetch(w, p uint8) {
	c, l := &x.from.workers[w].claims[p], &x.from.logs[p]
	if c.next > l.length {
		x.to("fetch", w, p, 0, func(s *state) { s.halt(w, p) })
		return
	}
	for n := uint8(1); n <= maxBatch && c.next+n <= l.length; n++ {
		x.to("fetch", w, p, int(n), func(s *state) {
			c, l := &s.workers[w].claims[p], &s.logs[p]
			c.end = c.next + n
			for i := range n {
				c.batch[i] = l.records[c.next+i].id
			}
			c.batchEpoch = l.records[c.end-1].epoch
			c.phase = fetched
			sameLeader := c.leaderEpoch == 0 || l.records[c.next].epoch == c.leaderEpoch
			if !x.has(topicID) && sameLeader {
				c.phase = inspected
			}
		})
	}
}

// halt halts the position for all workers, if the worker still owns it.
func (s *state) halt(w, p uint8) {
	c := &s.workers[w].claims[p]
	if r := &s.rows[c.version][p]; r.owner == c.owner {
		r.halted = true
	}
	s.fence(w, p)
}

// inspect asks Kafka, after the fetch, whether the log is still the one of the position.
func (s *state) inspect(settings *settings, w, p uint8) {
	c := &s.workers[w].claims[p]
	if c.topic != s.topic || s.lost(settings, p, c.next, c.leaderEpoch) {
		s.halt(w, p)
		return
	}
	c.phase = inspected
}

// compareAndSet opens the transaction, or finds that a COMMIT without a response succeeded, or that the position has another
// owner.
func (s *state) compareAndSet(settings *settings, w, p uint8) {
	c := &s.workers[w].claims[p]
	r := &s.rows[c.version][p]
	same := r.next == c.next && !r.halted && (r.owner == c.owner || !settings.has(ownerEpoch))
	switch {
	case r.topic == c.topic && (same || !settings.has(compareAndSet)):
		s.txs[c.version][p] = tx{
			txPhase: opened, worker: w, from: c.next, end: c.end, leaderEpoch: c.batchEpoch, owner: c.owner, code: c.code, batch: c.batch,
		}
		c.phase = writing
		if !settings.has(mirrorLast) {
			s.mirror(w, p, c.end)
			c.phase = writing
		}
	case c.phase == unsure && r.topic == c.topic && r.next == c.end && r.owner == c.owner:
		c.settled()
	default:
		s.fence(w, p)
	}
}

// settled marks the batch as committed.
func (c *claim) settled() {
	c.phase, c.next, c.leaderEpoch = committed, c.end, c.batchEpoch
	c.batch, c.end, c.batchEpoch = [maxBatch]uint8{}, 0, 0
}

// write continues an open transaction.
func (x *stepper) write(w, p uint8) {
	v := x.from.workers[w].claims[p].version
	t := &x.from.txs[v][p]
	if t.txPhase == opened {
		x.to("effects", w, p, 0, func(s *state) { s.txs[v][p].txPhase = effected })
		x.fault("terminate", w, p, 0, func(s *state) {
			s.txs[v][p] = tx{}
			s.workers[w].claims[p].phase = inspected
		})
		return
	}
	x.to("commit", w, p, 0, func(s *state) {
		s.commit(v, p)
		s.workers[w].claims[p].settled()
	})
	x.fault("lose_answer", w, p, 0, func(s *state) {
		s.txs[v][p].txPhase = inDoubt
		s.workers[w].claims[p].phase = unsure
		if !x.has(settling) {
			s.workers[w].claims[p].settled()
		}
	})
}

// commit makes the transaction on a row visible and releases its lock.
func (s *state) commit(v, p uint8) {
	r, t := &s.rows[v][p], &s.txs[v][p]
	if r.owner != t.owner {
		s.broken = onlyTheOwner
	}
	r.apply(t)
	*t = tx{}
	s.highest[p] = max(s.highest[p], r.next)
}

// mirror copies a position to Kafka, which accepts it only from members of the current generation.
func (s *state) mirror(w, p, next uint8) {
	if s.workers[w].generation == s.generation {
		s.mirrored[p] = next
	}
	s.workers[w].claims[p].phase = claimed
}

// server is what PostgreSQL does with transactions whose client is gone.
func (x *stepper) server() {
	for v := range uint8(versions) {
		for p := range uint8(x.partitions) {
			if x.from.txs[v][p].txPhase != inDoubt {
				continue
			}
			x.to("server_commits", none, p, 0, func(s *state) { s.commit(v, p) })
			x.to("server_aborts", none, p, 0, func(s *state) { s.txs[v][p] = tx{} })
		}
	}
}

// coordinator is what the group's coordinator does on its own.
func (x *stepper) coordinator() {
	for w := range uint8(workers) {
		if me := &x.from.workers[w]; x.from.members[w] && (me.paused || !me.alive) {
			x.to("expire", w, none, 0, func(s *state) {
				s.members[w] = false
				s.reassign()
			})
		}
	}
	for w := range uint8(workers) {
		if !x.from.members[w] {
			continue
		}
		for p := range uint8(x.partitions) {
			if x.from.assigned[p] == w+1 {
				continue
			}
			x.fault("rebalance", w, p, 0, func(s *state) {
				s.generation++
				s.assigned[p] = w + 1
			})
		}
	}
}

// kafka is what happens to the log.
func (x *stepper) kafka() {
	l := &x.from.logs[0]
	if !x.from.done.elected && l.length < maxLog {
		x.fault("elect", none, 0, 0, func(s *state) {
			s.done.elected = true
			s.logs[0].epoch++
			s.logs[0].grow(s.topic, 1, s.logs[0].length+1)
		})
	}
	if !x.from.done.truncated {
		for keep := l.length - min(l.length, 2); keep < l.length; keep++ {
			for _, length := range []uint8{keep, maxLog} {
				x.fault("truncate", none, 0, int(keep)<<4|int(length), func(s *state) {
					s.done.truncated = true
					s.logs[0].cut(keep)
					s.logs[0].grow(s.topic, 2, length)
				})
			}
		}
	}
	if x.from.done.recreated {
		return
	}
	for _, length := range []uint8{1, maxLog} {
		x.fault("recreate", none, none, int(length), func(s *state) {
			s.done.recreated = true
			s.topic++
			for p := range x.partitions {
				s.logs[p] = written(s.topic, 0, length)
			}
		})
	}
}

// operator is what an operator may do.
func (x *stepper) operator() {
	s := x.from
	for p := range uint8(x.partitions) {
		if s.rows[s.live][p].halted && s.txs[s.live][p].txPhase == closed {
			x.to("adopt", none, p, 0, func(s *state) { s.adopt(p) })
		}
	}
	if !x.unlocked() {
		return
	}
	if !s.done.rewound {
		x.fault("rewind", none, none, 0, func(s *state) {
			s.done.rewound = true
			for p := range x.partitions {
				r := &s.rows[s.live][p]
				r.forget(0)
				r.owner, r.leaderEpoch, r.code = r.owner+1, 0, r.code+1
			}
		})
	}
	if !s.done.swapped && x.swappable() {
		x.fault("swap", none, none, 0, func(s *state) { s.swap(x.partitions) })
	}
}

// unlocked reports whether no transaction has locked a row of either version: rewind and swap wait for all of them.
func (x *stepper) unlocked() bool {
	for v := range versions {
		for p := range x.partitions {
			if x.from.txs[v][p].txPhase != closed {
				return false
			}
		}
	}
	return true
}

// swappable reports whether another version can have been built from the log up to the live position.
func (x *stepper) swappable() bool {
	s := x.from
	for p := range x.partitions {
		if r := &s.rows[s.live][p]; r.halted || r.topic != s.topic || r.next > s.logs[p].length {
			return false
		}
	}
	return true
}

// swap builds the other version with newer code up to the live position, and makes it live.
func (s *state) swap(partitions int) {
	s.done.swapped = true
	old := s.live
	s.live = 1 - old
	for p := range partitions {
		before, after, l := &s.rows[old][p], &s.rows[s.live][p], &s.logs[p]
		*after = row{topic: s.topic, owner: after.owner + 1, code: before.code + 1}
		if before.next > 0 {
			built := tx{end: before.next, leaderEpoch: l.records[before.next-1].epoch, code: after.code}
			for i := range before.next {
				after.effects[i] = effect{id: l.records[i].id, times: 1, code: after.code}
			}
			after.next, after.leaderEpoch = built.end, built.leaderEpoch
		}
		before.owner++
	}
}

// adopt accepts the current log: a new topic from its start, a truncated log from its end.
func (s *state) adopt(p uint8) {
	r, l := &s.rows[s.live][p], &s.logs[p]
	r.halted = false
	r.owner++
	if r.topic != s.topic {
		r.topic, r.leaderEpoch = s.topic, 0
		r.forget(0)
		return
	}
	end := min(r.next, l.length)
	if r.leaderEpoch > 0 {
		end = min(end, l.end(r.leaderEpoch))
	}
	r.forget(end)
	r.leaderEpoch = 0
	if end > 0 {
		r.leaderEpoch = l.records[end-1].epoch
	}
}
