package lag

import (
	"fmt"
	"slices"
	"time"

	"github.com/applylens/applylens/internal/printable"
)

// judge gives every partition its status and cause, and the group those of its worst.
func (s *sight) judge(g *Group, past *history) {
	for i := range g.Partitions {
		p := &g.Partitions[i]
		p.Status, p.Cause = s.judgePartition(g, p, past.window(g, p))
		p.ETASeconds = past.window(g, p).eta()
	}
	if len(g.Partitions) == 0 {
		g.Status, g.Cause = Unknown, s.whyUnknown(g, nil)
		return
	}
	g.Status = OK
	count := 0
	for i := range g.Partitions {
		switch p := &g.Partitions[i]; {
		case worse(p.Status, g.Status):
			g.Status, g.Cause, count = p.Status, p.Cause, 1
		case p.Status == g.Status:
			count++
		}
	}
	if g.Cause != "" && len(g.Partitions) > 1 {
		g.Cause = fmt.Sprintf("%d of %d partitions: %s", count, len(g.Partitions), g.Cause)
	}
}

func worse(a, b Status) bool { return slices.Index(Statuses, a) < slices.Index(Statuses, b) }

// judgePartition goes from what is certain to what only the window shows.
func (s *sight) judgePartition(g *Group, p *Partition, w window) (Status, string) {
	switch {
	case p.State == "halted":
		return Halted, fmt.Sprintf("halted: %s: %s", p.HaltReason, p.HaltDetail)
	case p.LostRecords != nil && *p.LostRecords > 0:
		return Lost, fmt.Sprintf("%d records are gone unread: the log begins at %d, above the position %d", *p.LostRecords, *p.LogStart, *p.from)
	case p.LagRecords == nil:
		return Unknown, s.whyUnknown(g, p)
	}
	if status, cause := s.judgeMembers(g, p); status != "" {
		return status, cause
	}
	status := w.status()
	if status == OK {
		return OK, ""
	}
	return status, s.whyBehind(g, p, status, w)
}

// whyUnknown tells why nothing can be said of a partition, or, if p is nil, of a group.
func (s *sight) whyUnknown(g *Group, p *Partition) string {
	switch {
	case s.kafka == nil:
		return "Kafka is away"
	case s.kafka.topics[g.Topic].err != nil:
		return printable.Error(s.kafka.topics[g.Topic].err)
	case s.positions && g.Version == nil:
		return "the database knows no such projection: run applylens migrate"
	case p == nil:
		return "the topic has no partitions"
	case p.otherID:
		return "the position is of another topic of that name, or of another cluster; the loop will halt it as recreated"
	case p.LogStart == nil || p.LogEnd == nil:
		return "Kafka does not tell where the log begins and ends: the partition may have no leader"
	case p.from == nil:
		return "PostgreSQL is away and Kafka has no mirrored position"
	}
	return fmt.Sprintf("the position %d is above the log's end %d: the log was cut, or its leader is new", *p.from, *p.LogEnd)
}

// judgeMembers returns a status if the group's membership alone decides.
func (s *sight) judgeMembers(g *Group, p *Partition) (Status, string) {
	switch {
	case g.Building || g.Members == nil:
		return "", ""
	case slices.Contains([]string{"PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling"}, g.KafkaState):
		return Rebalancing, fmt.Sprintf("the group is assigning its partitions to %d members", len(g.Members))
	case len(g.Members) == 0:
		return Stopped, "the group has no member: start one with applylens consume " + g.Name
	case p.Member == "":
		return Stopped, fmt.Sprintf("no member owns it, although the group has %d", len(g.Members))
	}
	return "", ""
}

// whyBehind is the likely cause of a partition that is not caught up.
func (s *sight) whyBehind(g *Group, p *Partition, status Status, w window) string {
	switch {
	case !s.positions:
		return "PostgreSQL is away"
	case g.Building && s.paused(g):
		return "paused"
	case status == Blocked:
		return fmt.Sprintf("an open transaction of another producer holds up %d records from offset %d on: it has to be ended or aborted", p.blocked(), *p.LogEnd)
	case status == Lagging:
		return ""
	case g.Building:
		return fmt.Sprintf("the position has not moved for %s: no rebuild runs, or it is stuck", w.span())
	}
	return fmt.Sprintf("the position has not moved for %s although a member owns it: its log tells what it waits for", w.span())
}

func (s *sight) paused(g *Group) bool {
	for _, row := range s.rows {
		if row.Group == g.Name && row.Version == *g.Version {
			return row.Paused
		}
	}
	return false
}

// sample is what one look saw of one partition.
type sample struct {
	at       time.Time
	from     int64 // where reading goes on
	end      int64
	readable int64
	blocked  int64 // behind an open transaction
}

// behind is how many records were not read, whether or not they could be.
func (s *sample) behind() int64 { return s.readable + s.blocked }

// blocked is how many records stand behind an open transaction, as far as is known.
func (p *Partition) blocked() int64 {
	if p.BlockedRecords == nil {
		return 0
	}
	return *p.BlockedRecords
}

// window is the looks at one partition, oldest first; full once there are as many as judging takes.
type window struct {
	samples []sample
	full    bool
	single  bool // there is one look, and will be no other
}

// status tells OK, LAGGING, STALLED and BLOCKED apart as Burrow does: by movement, not by size. A transaction that is
// open at one look may be open for a moment; where there is only one look, it counts.
func (w window) status() Status {
	caughtUp, moved := false, false
	for i := range w.samples {
		caughtUp = caughtUp || w.samples[i].behind() == 0
		moved = moved || w.samples[i].from != w.samples[0].from
	}
	waits := w.samples[len(w.samples)-1].readable == 0
	switch {
	case caughtUp:
		return OK
	case waits && (w.single || w.full && !moved):
		return Blocked
	case w.full && !moved:
		return Stalled
	}
	return Lagging
}

func (w window) span() time.Duration {
	return w.samples[len(w.samples)-1].at.Sub(w.samples[0].at).Round(time.Second)
}

// rates are how fast the partition is read and written, in records per second; false when there is no window yet.
func (w window) rates() (read, written float64, ok bool) {
	if len(w.samples) < 2 {
		return 0, 0, false
	}
	first, last := w.samples[0], w.samples[len(w.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0, 0, false
	}
	return float64(last.from-first.from) / seconds, float64(last.end-first.end) / seconds, true
}

// eta is when the partition will be caught up at the rates of the window; nil when unknown or never.
func (w window) eta() *float64 {
	if len(w.samples) == 0 {
		return nil
	}
	last := &w.samples[len(w.samples)-1]
	if last.behind() == 0 {
		return new(float64)
	}
	read, written, ok := w.rates()
	if !ok || read <= written || last.blocked > 0 {
		return nil
	}
	return pointer(float64(last.readable) / (read - written))
}
