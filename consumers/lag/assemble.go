package lag

import (
	"fmt"

	"github.com/applylens/applylens/internal/printable"
)

// notes says what could not be asked.
func (s *sight) notes() []string {
	notes := []string{}
	if s.kafkaErr != nil {
		notes = append(notes, fmt.Sprintf("Kafka does not answer, so nothing is known of the logs: %s", printable.Error(s.kafkaErr)))
	}
	if s.databaseErr != nil {
		notes = append(notes, fmt.Sprintf("PostgreSQL does not tell the positions, so they are the mirrored ones, which may be behind: %s", printable.Error(s.databaseErr)))
	}
	if s.kafka == nil {
		return notes
	}
	for _, wanted := range s.wanted {
		if err := s.kafka.groups[wanted.Name].err; err != nil {
			notes = append(notes, fmt.Sprintf("the members of %s are not known: %s", wanted.Name, printable.Error(err)))
		}
		if err := s.kafka.groups[wanted.Name].mirrorErr; err != nil {
			notes = append(notes, fmt.Sprintf("the mirrored offsets of %s are not known: %s", wanted.Name, printable.Error(err)))
		}
	}
	return notes
}

// groups puts together what is known, all but ages and statuses.
func (s *sight) groups() []Group {
	groups := []Group{}
	for _, wanted := range s.wanted {
		versions := s.versionsOf(wanted.Name)
		if len(versions) == 0 {
			versions = [][]positionRow{nil}
		}
		for _, rows := range versions {
			groups = append(groups, s.group(wanted, rows))
		}
	}
	return groups
}

// versionsOf splits the rows of a group by version, the live one first.
func (s *sight) versionsOf(name string) [][]positionRow {
	var versions [][]positionRow
	for _, row := range s.rows {
		last := len(versions) - 1
		switch {
		case row.Group != name:
		case last >= 0 && versions[last][0].Version == row.Version:
			versions[last] = append(versions[last], row)
		case row.Live:
			versions = append([][]positionRow{{row}}, versions...)
		default:
			versions = append(versions, []positionRow{row})
		}
	}
	return versions
}

// group puts one version together; rows are its positions, nil when no version is known.
func (s *sight) group(wanted Projection, rows []positionRow) Group {
	g := Group{Name: wanted.Name, Topic: wanted.Topic, Source: SourcePostgres, Partitions: []Partition{}}
	if !s.positions {
		g.Source = SourceMirror
	}
	if len(rows) > 0 {
		g.Version, g.Building = &rows[0].Version, !rows[0].Live
	}
	if kafka := s.kafkaGroup(&g); kafka != nil && kafka.err == nil {
		g.KafkaState, g.Members = kafka.state, kafka.members
	}
	for partition := range s.partitions(wanted.Topic, rows) {
		g.Partitions = append(g.Partitions, s.partition(&g, rows, partition))
	}
	return g
}

// kafkaGroup is the Kafka group that folds g; nil when unknown or there is none.
func (s *sight) kafkaGroup(g *Group) *groupView {
	if s.kafka == nil || g.Building {
		return nil
	}
	view := s.kafka.groups[g.Name]
	return &view
}

// partitions is how many there are: Kafka's word, or what positions are known of.
func (s *sight) partitions(topic string, rows []positionRow) int {
	count := 0
	for _, row := range rows {
		if row.Partition != nil && *row.Topic == topic {
			count = max(count, *row.Partition+1)
		}
	}
	if s.kafka != nil && s.kafka.topics[topic].err == nil {
		return s.kafka.topics[topic].partitions
	}
	return count
}

func (s *sight) partition(g *Group, rows []positionRow, number int) Partition {
	p := Partition{Partition: number}
	if s.kafka != nil {
		topic := s.kafka.topics[g.Topic]
		p.topicID, p.LogStart, p.LogEnd = topic.id, find(topic.starts, number), find(topic.ends, number)
		p.HighWatermark = find(topic.marks, number)
	}
	if kafka := s.kafkaGroup(g); kafka != nil {
		p.MirrorOffset = find(kafka.mirror, number)
		p.Member = kafka.owners[number]
	}
	switch row := s.row(g, rows, number); {
	case row != nil:
		p.Position, p.State, p.HaltReason, p.HaltDetail, p.Owner = row.Next, *row.State, *row.HaltReason, *row.HaltDetail, *row.Owner
		p.otherID = !s.ofThisLog(g.Topic, row)
		p.from = p.Position
	case s.positions && g.Version != nil:
		p.from = p.LogStart // where the first reading begins
	case !s.positions:
		p.Position, p.from = p.MirrorOffset, p.MirrorOffset
	}
	if !p.otherID {
		p.measure()
	}
	return p
}

// row returns the position of a partition: the one of the log that is there, if there is one.
func (s *sight) row(g *Group, rows []positionRow, number int) *positionRow {
	var found *positionRow
	for i := range rows {
		row := &rows[i]
		if row.Partition != nil && *row.Partition == number && *row.Topic == g.Topic && (found == nil || s.ofThisLog(g.Topic, row)) {
			found = row
		}
	}
	return found
}

// ofThisLog tells whether a position speaks of the log that Kafka has now; it is believed while Kafka is away.
func (s *sight) ofThisLog(topic string, row *positionRow) bool {
	if s.kafka == nil || s.kafka.topics[topic].err != nil {
		return true
	}
	return *row.Cluster == s.kafka.cluster && *row.TopicID == s.kafka.topics[topic].id
}

// measure fills in the counts of records, as far as both ends are known and the position lies in the log.
func (p *Partition) measure() {
	if p.Position != nil && p.MirrorOffset != nil {
		p.MirrorDrift = pointer(*p.Position - *p.MirrorOffset)
	}
	if p.from == nil {
		return
	}
	if p.LogStart != nil {
		p.LostRecords = pointer(max(0, *p.LogStart-*p.from))
	}
	if p.LogStart != nil && p.LogEnd != nil && *p.from <= *p.LogEnd {
		p.LagRecords = pointer(*p.LogEnd - max(*p.from, *p.LogStart))
		if p.HighWatermark != nil {
			p.BlockedRecords = pointer(max(0, *p.HighWatermark-*p.LogEnd))
		}
	}
}

func find(offsets map[int]int64, partition int) *int64 {
	offset, ok := offsets[partition]
	if !ok {
		return nil
	}
	return &offset
}

func pointer[T any](value T) *T { return &value }
