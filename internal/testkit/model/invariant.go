package model

// invariant names a broken rule; empty means none.
type invariant string

const (
	appliedOnce      invariant = "a record is applied exactly once per version"
	positionExact    invariant = "the position is where the effects end"
	nothingSkipped   invariant = "no record is applied while one before it in the log is not"
	oneTopic         invariant = "a position has effects of its own topic only"
	oneCode          invariant = "a version has effects of its own code only"
	onlyTheOwner     invariant = "no stale owner commits"
	mirrorBehind     invariant = "the mirror never runs ahead of PostgreSQL"
	haltedWithReason invariant = "a partition halts only when the log lost something"
)

// check returns the first invariant that the state breaks.
func (s *state) check(c *settings) invariant {
	for p := range c.partitions {
		if s.mirrored[p] > s.highest[p] {
			return mirrorBehind
		}
		for v := range versions {
			if broken := s.checkRow(&s.rows[v][p], &s.logs[p]); broken != "" {
				return broken
			}
		}
	}
	if s.broken == c.overlook {
		return ""
	}
	return s.broken
}

func (s *state) checkRow(r *row, l *log) invariant {
	if r.halted && !s.done.truncated && !s.done.recreated {
		return haltedWithReason
	}
	gap := false
	for i, e := range r.effects {
		offset := uint8(i)
		switch {
		case e.times > 1:
			return appliedOnce
		case (e.times == 1) != (offset < r.next):
			return positionExact
		case e.times == 1 && topicOf(e.id) != r.topic:
			return oneTopic
		case e.times == 1 && e.code != r.code:
			return oneCode
		}
		if r.topic != s.topic || offset >= l.length {
			continue
		}
		if e.id == l.records[i].id && gap {
			return nothingSkipped
		}
		gap = gap || e.id != l.records[i].id
	}
	return ""
}
