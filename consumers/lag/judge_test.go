package lag

import (
	"slices"
	"testing"
	"time"
)

// looksAt makes a window of one look per second, of positions in a log that ends at ends.
func looksAt(full bool, positions, ends []int64) window {
	w := window{full: full}
	for i := range positions {
		at := time.Unix(int64(i), 0)
		w.samples = append(w.samples, sample{at, positions[i], ends[i], ends[i] - positions[i], 0})
	}
	return w
}

// behindTransaction makes a window of looks at a position that is always at the readable end; so many records stand
// behind a transaction then.
func behindTransaction(positions, blocked []int64) window {
	w := looksAt(true, positions, positions)
	for i := range blocked {
		w.samples[i].blocked = blocked[i]
	}
	return w
}

func TestOpenTransactionBlocksWhenNothingMoves(t *testing.T) {
	f := func(w window, want Status) {
		t.Helper()
		if got := w.status(); got != want {
			t.Errorf("%v: %s, want %s", w.samples, got, want)
		}
	}
	f(behindTransaction([]int64{5, 5, 5}, []int64{1, 40, 100}), Blocked)
	f(behindTransaction([]int64{5, 5, 5}, []int64{0, 1, 2}), OK)      // caught up at the first look
	f(behindTransaction([]int64{5, 7, 9}, []int64{2, 2, 2}), Lagging) // one transaction after the other
	short := behindTransaction([]int64{5, 5}, []int64{1, 1})
	short.full = false
	f(short, Lagging)
	single := behindTransaction([]int64{5}, []int64{1})
	single.full, single.single = false, true
	f(single, Blocked)
	unread := looksAt(true, []int64{5, 5}, []int64{6, 6})
	unread.samples[1].blocked = 100
	f(unread, Stalled) // there is something to read
	if eta := behindTransaction([]int64{5, 6}, []int64{1, 1}).eta(); eta != nil {
		t.Errorf("eta behind a transaction = %v, want none", *eta)
	}
}

func TestStatusIsJudgedByMovement(t *testing.T) {
	for name, c := range map[string]struct {
		full      bool
		positions []int64
		ends      []int64
		want      Status
	}{
		"one look, caught up":                    {false, []int64{5}, []int64{5}, OK},
		"one look, behind":                       {false, []int64{4}, []int64{5}, Lagging},
		"stood still, window not full":           {false, []int64{4, 4}, []int64{5, 5}, Lagging},
		"stood still over the window":            {true, []int64{4, 4, 4}, []int64{5, 5, 5}, Stalled},
		"stood still while the log grew":         {true, []int64{4, 4, 4}, []int64{5, 50, 500}, Stalled},
		"nothing to read":                        {true, []int64{5, 5, 5}, []int64{5, 5, 5}, OK},
		"records came at the last look":          {true, []int64{5, 5, 5}, []int64{5, 5, 9}, OK},
		"moves and never reaches the end":        {true, []int64{1, 2, 3}, []int64{9, 9, 9}, Lagging},
		"moved once":                             {true, []int64{1, 1, 2}, []int64{9, 9, 9}, Lagging},
		"rewound":                                {true, []int64{9, 1, 1}, []int64{10, 10, 10}, Lagging},
		"fell far behind, but reached the end":   {true, []int64{9, 10, 11}, []int64{10, 10, 9999}, OK},
		"a trickle, one behind at every look":    {true, []int64{1, 2, 3}, []int64{2, 3, 4}, Lagging},
		"many behind is no worse than one alone": {true, []int64{1, 2, 3}, []int64{1e6, 1e6, 1e6}, Lagging},
	} {
		if got := looksAt(c.full, c.positions, c.ends).status(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestETAFollowsFromBothRates(t *testing.T) {
	f := func(positions, ends []int64, want float64) {
		t.Helper()
		got := looksAt(true, positions, ends).eta()
		if want < 0 != (got == nil) || got != nil && *got != want {
			t.Errorf("eta of %v to %v = %v, want %v (below 0: none)", positions, ends, got, want)
		}
	}
	f([]int64{7}, []int64{7}, 0)
	f([]int64{6}, []int64{7}, -1)                         // one look shows no rate
	f([]int64{0, 10, 20}, []int64{100, 100, 100}, 8)      // 80 left at 10 a second
	f([]int64{0, 10, 20}, []int64{90, 95, 100}, 16)       // 5 a second come
	f([]int64{0, 10, 20}, []int64{100, 110, 120}, -1)     // as many come as are read
	f([]int64{20, 20, 20}, []int64{100, 100, 100}, -1)    // stands still
	f([]int64{50, 20, 10}, []int64{100, 100, 100}, -1)    // rewound
	f([]int64{0, 5000, 100}, []int64{10000, 100, 100}, 0) // caught up
}

func TestMembersDecideBeforeMovement(t *testing.T) {
	s := &sight{}
	f := func(state string, members []Member, member string, want Status) {
		t.Helper()
		got, cause := s.judgeMembers(&Group{KafkaState: state, Members: members}, &Partition{Member: member})
		if got != want || (cause == "") != (want == "") {
			t.Errorf("state %s, %d members, owner %q: %q (%s), want %q", state, len(members), member, got, cause, want)
		}
	}
	one := []Member{{ID: "m"}}
	f("Stable", one, "m", "")
	f("Stable", one, "", Stopped)
	f("Empty", []Member{}, "", Stopped)
	f("Dead", []Member{}, "", Stopped)
	f("PreparingRebalance", one, "", Rebalancing)
	f("CompletingRebalance", one, "", Rebalancing)
	f("", nil, "", "") // the members are not known
}

func TestGroupShowsItsWorstPartition(t *testing.T) {
	if !slices.IsSortedFunc(Statuses, func(a, b Status) int {
		if worse(a, b) {
			return -1
		}
		return 1
	}) || worse(OK, OK) {
		t.Error("Statuses are not in order")
	}
	halted := Partition{Partition: 1, State: "halted", HaltReason: "gap", HaltDetail: "d"}
	running := Partition{Partition: 0, State: "running", LagRecords: new(int64), from: new(int64), LogEnd: new(int64)}
	g := Group{Name: "weights", Partitions: []Partition{running, halted, halted}}
	past := history{looks: 1}
	past.add(&Report{Groups: []Group{g}})
	(&sight{positions: true}).judge(&g, &past)
	if g.Status != Halted || g.Cause != "2 of 3 partitions: halted: gap: d" || g.Partitions[0].Status != OK {
		t.Errorf("group %s (%s), partition 0 %s", g.Status, g.Cause, g.Partitions[0].Status)
	}
}

func TestTotalsCountTheUnknown(t *testing.T) {
	g := Group{Partitions: []Partition{
		{LagRecords: pointer(int64(3)), LostRecords: pointer(int64(0)), LagSeconds: pointer(1.5)},
		{Partition: 1, LostRecords: pointer(int64(4))},
		{Partition: 2, LagRecords: pointer(int64(5)), LagSeconds: pointer(0.5)},
	}}
	got := (&history{looks: 1}).totals(&g)
	if *got.LagRecords != 8 || got.LagRecordsUnknown != 1 || *got.LostRecords != 4 || got.LostRecordsUnknown != 1 ||
		*got.LagSeconds != 1.5 || got.LagSecondsUnknown != 1 || got.ETASeconds != nil || got.Trend != "" {
		t.Errorf("totals %+v", got)
	}
}
