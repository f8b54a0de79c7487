package model

// Bounds of the model, as small as the known mistakes allow.
const (
	workers       = 2
	versions      = 2
	maxPartitions = 2
	maxLog        = 4 // records in a partition
	maxBatch      = 2 // records in a transaction
	firstLength   = 3
)

// state is the whole state of the model. It is comparable, and the zero value of every part means "none".
type state struct {
	topic      uint8 // id of the topic that currently has the name
	logs       [maxPartitions]log
	rows       [versions][maxPartitions]row
	txs        [versions][maxPartitions]tx // the transaction that has locked the row
	live       uint8                       // version
	generation uint8
	members    [workers]bool
	assigned   [maxPartitions]uint8 // worker + 1
	mirrored   [maxPartitions]uint8
	highest    [maxPartitions]uint8 // highest position ever committed
	workers    [workers]worker
	faults     uint8 // still allowed
	done       history
	broken     invariant // by the last step
}

// history records the actions that happen at most once in a run.
type history struct{ truncated, recreated, rewound, swapped, elected bool }

// log is one partition in Kafka.
type log struct {
	length  uint8
	epoch   uint8 // leader epoch, from 1
	records [maxLog]entry
}

// entry is one record: its id, with the topic's id in the high part, and the leader epoch of its batch.
type entry struct{ id, epoch uint8 }

func identity(topic, writes, offset uint8) uint8 { return topic<<5 | writes<<3 | offset + 1 }

func topicOf(id uint8) uint8 { return id >> 5 }

// end returns where the records of epoch and all earlier epochs end, like OffsetForLeaderEpoch.
func (l *log) end(epoch uint8) uint8 {
	for offset := range l.length {
		if l.records[offset].epoch > epoch {
			return offset
		}
	}
	return l.length
}

// row is a position and the effects of its version, which change in the same transaction.
type row struct {
	topic       uint8
	next        uint8
	leaderEpoch uint8 // 0: nothing was applied
	owner       uint8 // owner_epoch
	code        uint8 // the code that folds this version
	halted      bool
	effects     [maxLog]effect // by the offset at which they were read
}

// effect is the result of applying a record: its id, how often, and by which code.
type effect struct{ id, times, code uint8 }

// worker is one process's member of the group.
type worker struct {
	alive, paused bool
	generation    uint8 // known to it; 0: it must join
	claims        [maxPartitions]claim
}

// phase is the progress of a claim's batch.
type phase uint8

const (
	unclaimed phase = iota
	claimed
	fetched
	inspected
	writing   // the transaction is open
	unsure    // COMMIT was sent, without a response so far
	committed // and not yet mirrored
)

// claim is a worker's view of a partition, and its current batch.
type claim struct {
	phase
	version, topic, owner, code uint8
	next, leaderEpoch           uint8
	end, batchEpoch             uint8
	batch                       [maxBatch]uint8
}

// txPhase is the progress of a transaction.
type txPhase uint8

const (
	closed   txPhase = iota
	opened           // the compare-and-set is done
	effected         // the effects are written too
	inDoubt          // only the server knows the outcome
)

// tx is a transaction: the new state of its row.
type tx struct {
	txPhase
	worker                              uint8
	from, end, leaderEpoch, owner, code uint8
	batch                               [maxBatch]uint8
}

// initial is a topic with three unread records in each partition, and two workers that have not joined yet.
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

// grow appends records in the current leader epoch.
func (l *log) grow(topic, writes, length uint8) {
	for ; l.length < length; l.length++ {
		l.records[l.length] = entry{identity(topic, writes, l.length), l.epoch}
	}
}

// cut drops the records from length on, as after the election of a leader without them.
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

// normalize maps states that differ only in the size of counters to the same form. Of an owner epoch and a generation it
// matters only whether it is the current one, since old ones never return.
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

// forget drops the effects from an offset on, and moves the position there.
func (r *row) forget(from uint8) {
	for i := from; i < maxLog; i++ {
		r.effects[i] = effect{}
	}
	r.next = from
}
