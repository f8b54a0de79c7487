package model

// The bounds of the model. Numbers are as small as the known mistakes need.
const (
	workers       = 2
	versions      = 2
	maxPartitions = 2
	maxLog        = 4 // records in a partition
	maxBatch      = 2 // records in a transaction
	firstLength   = 3
)

// state is everything at one moment. It is comparable, and the zero value of every part means "none".
type state struct {
	topic      uint8 // id of the topic that has the name now
	logs       [maxPartitions]log
	rows       [versions][maxPartitions]row
	txs        [versions][maxPartitions]tx // the transaction that holds the row's lock
	live       uint8                       // version
	generation uint8
	members    [workers]bool
	assigned   [maxPartitions]uint8 // worker + 1
	mirrored   [maxPartitions]uint8
	highest    [maxPartitions]uint8 // position that was ever committed
	workers    [workers]worker
	faults     uint8 // that may still happen
	done       history
	broken     invariant // by the last step
}

// history remembers what happens at most once in a run.
type history struct{ truncated, recreated, rewound, swapped, elected bool }

// log is one partition in Kafka.
type log struct {
	length  uint8
	epoch   uint8 // of the leader, from 1
	records [maxLog]entry
}

// entry is one record: its identity, in which the topic's id is the high part, and the leader epoch of its batch.
type entry struct{ id, epoch uint8 }

func identity(topic, writes, offset uint8) uint8 { return topic<<5 | writes<<3 | offset + 1 }

func topicOf(id uint8) uint8 { return id >> 5 }

// end is where the records of epoch and of all before it end, as OffsetForLeaderEpoch answers.
func (l *log) end(epoch uint8) uint8 {
	for offset := range l.length {
		if l.records[offset].epoch > epoch {
			return offset
		}
	}
	return l.length
}

// row is a position and the effects of its version, which change together.
type row struct {
	topic       uint8
	next        uint8
	leaderEpoch uint8 // 0: nothing was applied
	owner       uint8 // owner_epoch
	code        uint8 // that folds this version
	halted      bool
	effects     [maxLog]effect // by the offset that they were read at
}

// effect is what applying a record left: which, how often, and by which code.
type effect struct{ id, times, code uint8 }

// worker is one process's member of the group.
type worker struct {
	alive, paused bool
	generation    uint8 // that it knows of; 0: it has to join
	claims        [maxPartitions]claim
}

// phase is how far a claim has come with its batch.
type phase uint8

const (
	unclaimed phase = iota
	claimed
	fetched
	inspected
	writing   // the transaction is open
	unsure    // COMMIT was sent and not answered
	committed // and not yet mirrored
)

// claim is what a worker believes of a partition, and the batch that it has in hand.
type claim struct {
	phase
	version, topic, owner, code uint8
	next, leaderEpoch           uint8
	end, batchEpoch             uint8
	batch                       [maxBatch]uint8
}

// txPhase is how far a transaction has come.
type txPhase uint8

const (
	closed   txPhase = iota
	opened           // the compare-and-set has happened
	effected         // so has the rest
	inDoubt          // only the server knows
)

// tx is a transaction: what it will make of its row.
type tx struct {
	txPhase
	worker                              uint8
	from, end, leaderEpoch, owner, code uint8
	batch                               [maxBatch]uint8
}

// initial is a topic with three records in each partition, read by nobody, and two workers that have yet to join.
func initial(partitions, faults int) state {
	s := state{topic: 1, generation: 1, faults: uint8(faults)}
	for p := range partitions {
		s.logs[p] = written(s.topic, 0, firstLength)
		for v := range versions {
			s.rows[v][p] = row{topic: s.topic, owner: 1}
		}
	}
	for w := range workers {
		s.workers[w].alive = true
	}
	return s
}

// written is a new log of the given length.
func written(topic, writes, length uint8) log {
	l := log{epoch: 1}
	l.grow(topic, writes, length)
	return l
}

// grow appends records under the present leader.
func (l *log) grow(topic, writes, length uint8) {
	for ; l.length < length; l.length++ {
		l.records[l.length] = entry{identity(topic, writes, l.length), l.epoch}
	}
}

// cut drops the records from length on, as a leader does that never had them.
func (l *log) cut(length uint8) {
	l.epoch++
	for l.length > length {
		l.length--
		l.records[l.length] = entry{}
	}
}

// apply makes the transaction visible.
func (r *row) apply(t *tx) {
	for i := range t.end - t.from {
		e := &r.effects[t.from+i]
		if e.id == 0 || e.id == t.batch[i] {
			e.id, e.code, e.times = t.batch[i], t.code, min(e.times+1, 2)
		} else {
			e.times = 2 // two records at one offset
		}
	}
	r.next, r.leaderEpoch = t.end, t.leaderEpoch
}

// normalize gives states that differ in nothing but the size of counters the same form: of an owner epoch and a
// generation it matters only whether it is the present one, since neither comes back.
func (s *state) normalize() {
	for w := range s.workers {
		me := &s.workers[w]
		me.generation = present(me.generation, s.generation)
		for p := range me.claims {
			if c := &me.claims[p]; c.phase != unclaimed {
				c.owner = present(c.owner, s.rows[c.version][p].owner)
			}
		}
	}
	s.generation = 1
	for v := range s.rows {
		for p := range s.rows[v] {
			r, t := &s.rows[v][p], &s.txs[v][p]
			if t.txPhase != closed {
				t.owner = present(t.owner, r.owner)
			}
			if r.owner > 0 {
				r.owner = 1
			}
		}
	}
}

func present(value, now uint8) uint8 {
	if value == now {
		return 1
	}
	return 0
}

// forget drops the effects from an offset on and stands there.
func (r *row) forget(from uint8) {
	for i := from; i < maxLog; i++ {
		r.effects[i] = effect{}
	}
	r.next = from
}
