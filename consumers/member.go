package consumers

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/applylens/applylens/internal/broker"
)

// assignor divides the partitions of a group among members of one deployment, by ranges. Kafka lets members into a group only
// if all of them know an assignor of the same name, and this one's name tells the deployment: one that joined the group of
// another would fold half of the partitions into its own database, and nobody the rest of them into either.
type assignor struct {
	kafka.RangeGroupBalancer
	name string
}

// ProtocolName implements kafka.GroupBalancer.
func (a assignor) ProtocolName() string { return a.name }

// AssignorOf names the assignor of the deployment with a ce_source.
func AssignorOf(source string) string { return "range" + source }

// ErrStrangers tells that members of another deployment are in the group.
var ErrStrangers = errors.New("another deployment, with a database of its own, has members in this group: " +
	"give one of the two topics and groups of its own by TOPIC_PREFIX (--topic-prefix)")

// CheckMembers returns ErrStrangers, in an error that names the group, if Kafka has members of another deployment than the one
// with a ce_source in one of the groups. A group without members has none.
func CheckMembers(ctx context.Context, conn *broker.Conn, groups Groups, source string) error {
	ids := make([]string, len(groups))
	for i, group := range groups {
		ids[i] = conn.GroupID(group.Name)
	}
	described, err := conn.Admin.DescribeGroups(ctx, ids...)
	if err != nil {
		return fmt.Errorf("describe groups: %w", err)
	}
	var faults []error
	for _, id := range ids {
		g := described[id] // without a protocol when Kafka does not have the group yet, or its members are just joining
		if len(g.Members) > 0 && g.Protocol != "" && g.Protocol != AssignorOf(source) {
			faults = append(faults, fmt.Errorf("group %s: %w", id, ErrStrangers))
		}
	}
	return errors.Join(faults...)
}
