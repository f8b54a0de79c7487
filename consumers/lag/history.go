package lag

// history keeps the last looks at every partition. It is not safe for concurrent use.
type history struct {
	looks   int
	windows map[key][]sample
}

// key tells apart what must not share a window: another version, topic or source of positions begins anew.
type key struct {
	group     string
	version   int
	source    string
	topicID   [16]byte
	partition int
}

func keyOf(g *Group, p *Partition) key {
	k := key{group: g.Name, source: g.Source, topicID: p.topicID, partition: p.Partition}
	if g.Version != nil {
		k.version = *g.Version
	}
	return k
}

// add remembers a look. A partition of which it knows nothing begins anew: a window has no holes.
func (h *history) add(r *Report) {
	next := map[key][]sample{}
	for i := range r.Groups {
		g := &r.Groups[i]
		for j := range g.Partitions {
			p := &g.Partitions[j]
			if p.LagRecords == nil {
				continue
			}
			k := keyOf(g, p)
			samples := append(h.windows[k], sample{r.At, *p.from, *p.LogEnd, *p.LagRecords, p.blocked()})
			next[k] = samples[max(0, len(samples)-h.looks):]
		}
	}
	h.windows = next
}

func (h *history) window(g *Group, p *Partition) window {
	samples := h.windows[keyOf(g, p)]
	return window{samples, len(samples) == h.looks && h.looks > 1, h.looks == 1}
}

// totals adds up what is known of a group.
func (h *history) totals(g *Group) Totals {
	var t Totals
	for i := range g.Partitions {
		p := &g.Partitions[i]
		t.LagRecordsUnknown += add(&t.LagRecords, p.LagRecords)
		t.BlockedRecordsUnknown += add(&t.BlockedRecords, p.BlockedRecords)
		t.LostRecordsUnknown += add(&t.LostRecords, p.LostRecords)
		if p.LagSeconds == nil {
			t.LagSecondsUnknown++
		} else if t.LagSeconds == nil || *p.LagSeconds > *t.LagSeconds {
			t.LagSeconds = p.LagSeconds
		}
	}
	t.RecordsPerSecond, t.Trend = h.movement(g)
	t.ETASeconds = slowest(g.Partitions)
	return t
}

// add adds value to sum if it is known, and returns how many unknowns that makes.
func add(sum **int64, value *int64) int {
	if value == nil {
		return 1
	}
	if *sum == nil {
		*sum = new(int64)
	}
	**sum += *value
	return 0
}

// movement is how fast a group reads and whether its lag grows; unknown unless every partition has a window.
func (h *history) movement(g *Group) (rate *float64, trend string) {
	var read float64
	var before, now int64
	for i := range g.Partitions {
		w := h.window(g, &g.Partitions[i])
		moved, _, ok := w.rates()
		if !ok {
			return nil, ""
		}
		read += moved
		before, now = before+w.samples[0].behind(), now+w.samples[len(w.samples)-1].behind()
	}
	switch {
	case len(g.Partitions) == 0:
		return nil, ""
	case now > before:
		return &read, "growing"
	case now < before:
		return &read, "shrinking"
	}
	return &read, "steady"
}

// slowest is the longest time until a partition is caught up; nil unless it is known of all.
func slowest(partitions []Partition) *float64 {
	var longest *float64
	for i := range partitions {
		eta := partitions[i].ETASeconds
		if eta == nil {
			return nil
		}
		if longest == nil || *eta > *longest {
			longest = eta
		}
	}
	return longest
}
