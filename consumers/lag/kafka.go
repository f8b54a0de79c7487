package lag

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/kafkalog"
)

// kafkaView is what Kafka said, before PostgreSQL was asked, save for the ends.
type kafkaView struct {
	cluster string
	topics  map[string]topicView // by name without prefix
	groups  map[string]groupView // by short name
}

// topicView is one topic; starts, marks and ends lack the partitions for which Kafka had no answer.
type topicView struct {
	err        error // why nothing is known of it
	id         [16]byte
	partitions int
	starts     map[int]int64
	marks      map[int]int64 // high watermarks
	ends       map[int]int64 // last stable offsets, up to which records can be read
}

// groupView is one consumer group.
type groupView struct {
	err       error // why the members are not known
	mirrorErr error // why the offsets are not known
	state     string
	members   []Member
	owners    map[int]string // member id by partition
	mirror    map[int]int64
}

// askKafka reads all but the ends of the logs. The starts come last: a leader that does not answer takes the time that
// is left, and nothing is unknown but its own partitions.
func askKafka(ctx context.Context, conn *broker.Conn, groups []Projection) (*kafkaView, error) {
	topics, names := topicsOf(conn, groups)
	view := &kafkaView{topics: map[string]topicView{}, groups: map[string]groupView{}}
	for i, topic := range topics {
		found, err := conn.DescribeTopic(ctx, names[i])
		var refused *kerr.Error
		switch {
		case errors.As(err, &refused):
			view.topics[topic] = topicView{err: err}
		case err != nil:
			return nil, err
		default:
			view.cluster = found.Cluster
			view.topics[topic] = topicView{id: found.ID, partitions: found.Partitions}
		}
	}
	askGroups(ctx, conn, groups, view)
	starts, err := conn.Admin.ListStartOffsets(ctx, names...)
	if err := kafkalog.UnlessPartial(err); err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	view.add(topics, func(t *topicView, i int) { t.starts = known(starts[names[i]]) })
	return view, nil
}

// askEnds adds where the logs end, and where their readable part does: at the last stable offset, below which no
// transaction is open. The high watermarks come first, so that records that are written between the two questions do not
// look as if they stood behind a transaction; they get half of the time, since the ends matter more.
func (v *kafkaView) askEnds(ctx context.Context, conn *broker.Conn, groups []Projection, limit time.Duration) error {
	topics, names := topicsOf(conn, groups)
	_ = within(ctx, limit/2, func(ctx context.Context) error {
		marks, err := conn.Admin.ListEndOffsets(ctx, names...)
		v.add(topics, func(t *topicView, i int) { t.marks = known(marks[names[i]]) })
		return err
	})
	ends, err := conn.Admin.ListCommittedOffsets(ctx, names...)
	if err := kafkalog.UnlessPartial(err); err != nil {
		return fmt.Errorf("list end offsets: %w", err)
	}
	v.add(topics, func(t *topicView, i int) { t.ends = known(ends[names[i]]) })
	return nil
}

// add changes what is known of each topic.
func (v *kafkaView) add(topics []string, change func(t *topicView, i int)) {
	for i, topic := range topics {
		view := v.topics[topic]
		change(&view, i)
		v.topics[topic] = view
	}
}

func topicsOf(conn *broker.Conn, groups []Projection) (topics, names []string) {
	seen := map[string]bool{}
	for _, group := range groups {
		if !seen[group.Topic] {
			seen[group.Topic] = true
			topics, names = append(topics, group.Topic), append(names, conn.Topic(group.Topic))
		}
	}
	return topics, names
}

func known(listed map[int32]kadm.ListedOffset) map[int]int64 {
	offsets := map[int]int64{}
	for partition, offset := range listed {
		if offset.Err == nil && offset.Offset >= 0 {
			offsets[int(partition)] = offset.Offset
		}
	}
	return offsets
}

// askGroups adds what Kafka knows of the groups. One that fails leaves the others known.
func askGroups(ctx context.Context, conn *broker.Conn, groups []Projection, view *kafkaView) {
	ids := make([]string, len(groups))
	for i, group := range groups {
		ids[i] = conn.GroupID(group.Name)
	}
	offsets := conn.Admin.FetchManyOffsets(ctx, ids...)
	described, err := conn.Admin.DescribeGroups(ctx, ids...)
	for i, group := range groups {
		topic := conn.Topic(group.Topic)
		found := groupView{err: fmt.Errorf("describe group: %w", err)}
		if one, ok := described[ids[i]]; ok {
			found = readGroup(one, topic)
		} else if err == nil {
			found.err = fmt.Errorf("no answer about group %s from Kafka", group.Name)
		}
		fetched := offsets[ids[i]]
		found.mirrorErr, found.mirror = fetched.Err, map[int]int64{}
		for partition, offset := range fetched.Fetched[topic] {
			if offset.Err == nil && offset.At >= 0 {
				found.mirror[int(partition)] = offset.At
			}
		}
		view.groups[group.Name] = found
	}
}

func readGroup(described kadm.DescribedGroup, topic string) groupView {
	view := groupView{err: described.Err, state: described.State, members: []Member{}, owners: map[int]string{}}
	if errors.Is(described.Err, kerr.GroupIDNotFound) { // newer brokers say so, older ones call the group dead
		view.err, view.state = nil, "Dead"
	}
	for _, m := range described.Members {
		member := Member{ID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost, Partitions: []int{}}
		for _, partition := range assignedTo(m, topic) {
			member.Partitions = append(member.Partitions, int(partition))
			view.owners[int(partition)] = m.MemberID
		}
		view.members = append(view.members, member)
	}
	return view
}

func assignedTo(member kadm.DescribedGroupMember, topic string) []int32 {
	assigned, ok := member.Assigned.AsConsumer()
	if !ok {
		return nil
	}
	for _, t := range assigned.Topics {
		if t.Topic == topic {
			return t.Partitions
		}
	}
	return nil
}
