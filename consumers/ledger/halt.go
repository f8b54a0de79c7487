package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/events"
)

// Reason tells why a partition stopped. The set is closed: it labels metrics and is stored.
type Reason string

// The reasons to halt.
const (
	ReasonGap         Reason = "gap"          // the position is below the log's start: records are lost
	ReasonTruncated   Reason = "truncated"    // the log ends below the position, or did under an earlier leader
	ReasonRecreated   Reason = "recreated"    // the topic of that name has another id, or the cluster has
	ReasonGrown       Reason = "grown"        // the topic has another number of partitions
	ReasonSequence    Reason = "sequence"     // numbers of a relay term are missing in the log
	ReasonDeadLetters Reason = "dead_letters" // too many of the last records could not be applied
	ReasonUnknownType Reason = "unknown_type" // retried: an event of a newer version of ApplyLens
	ReasonDatabase    Reason = "database"     // retried: the schema or the rights do not fit
	ReasonFoldVersion Reason = "fold_version" // retried: the live version was folded by other code
)

// Reasons lists all reasons.
var Reasons = []Reason{ReasonGap, ReasonTruncated, ReasonRecreated, ReasonGrown, ReasonSequence, ReasonDeadLetters,
	ReasonUnknownType, ReasonDatabase, ReasonFoldVersion}

// Retried tells whether the next claim clears the reason by itself, since a new binary, a migration or a grant mends it.
// All others wait for an operator.
func (r Reason) Retried() bool {
	return r == ReasonUnknownType || r == ReasonDatabase || r == ReasonFoldVersion
}

func retriedReasons() []string {
	var list []string
	for _, reason := range Reasons {
		if reason.Retried() {
			list = append(list, string(reason))
		}
	}
	return list
}

// At names the partition that a remedy is for.
type At struct {
	Group     string
	Topic     string // without prefix
	Partition int    // -1: all of the topic
	Offset    int64  // where skip would go on; below 0: the operator has to choose
}

// Remedy returns how to go on after a halt: what to do, as commands that can be run as they are but for the reason in
// words. It is the one source of what halts, reports and guides advise.
func (r Reason) Remedy(at At) string {
	where := at.Topic
	if at.Partition >= 0 {
		where = fmt.Sprintf("%s/%d", at.Topic, at.Partition)
	}
	adopt := fmt.Sprintf("applylens positions adopt %s %s --reason ...", at.Group, where)
	to := "OFFSET"
	if at.Offset >= 0 {
		to = fmt.Sprint(at.Offset)
	}
	skip := fmt.Sprintf("applylens positions skip %s %s --to %s --reason ...", at.Group, where, to)
	switch r {
	case ReasonGap:
		return "to go on without the lost records: " + adopt
	case ReasonTruncated:
		return "to go on from where the log was cut: " + adopt
	case ReasonRecreated:
		return "to read the new topic from its start: " + adopt
	case ReasonGrown:
		return "to accept the new partitions: " + adopt
	case ReasonSequence:
		return "if the relay published the missing records again behind this one, pass over it: " + skip + "; to go on without them: " + adopt
	case ReasonDeadLetters:
		return fmt.Sprintf("see applylens deadletters list %s; to give the records up: %s; to go on dead-lettering: %s", at.Group, skip, adopt)
	case ReasonUnknownType:
		return "upgrade the consumers; it is tried again every 30 s"
	case ReasonDatabase:
		return "run applylens migrate, or check the rights of the role; it is tried again every 30 s"
	case ReasonFoldVersion:
		return fmt.Sprintf("run the binary that fits, or build a new version: applylens rebuild run %s; it is tried again every 30 s", at.Group)
	}
	return "see applylens positions show " + at.Group
}

// Halt stops a partition at the record that it was met at. Detail says what was found, and how to go on.
type Halt struct {
	Reason Reason
	Detail string
	Lost   int64 // records known to be lost
}

func (h *Halt) Error() string { return fmt.Sprintf("halted: %s: %s", h.Reason, h.Detail) }

// NewHalt returns a halt for a reason with what was found. Its detail ends with the remedy.
func NewHalt(reason Reason, at At, format string, args ...any) *Halt {
	return &Halt{Reason: reason, Detail: fmt.Sprintf(format, args...) + "; " + reason.Remedy(at)}
}

// haltSQL stops one partition, if it is still the owner's.
const haltSQL = `
UPDATE positions SET state = 'halted', halt_reason = $7, halt_detail = $8, updated_at = now()
WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = $5 AND owner_epoch = $6`

// The states of a position.
const (
	StateRunning  = "running"
	StateHalted   = "halted"
	StateReplaced = "replaced" // of a topic that was recreated since
)

// Execer is a pool, a connection or a transaction.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Halt stops a partition for all owners until an operator or a new claim moves it on. It returns ErrFenced when the
// partition has another owner.
func (l *Log) Halt(ctx context.Context, db Execer, partition int, ownerEpoch int64, halt *Halt) error {
	detail := events.CleanText(halt.Detail, 2000)
	tag, err := db.Exec(ctx, haltSQL, l.Group, l.Version, l.Cluster, l.TopicID, partition, ownerEpoch, string(halt.Reason), detail)
	if err != nil {
		return fmt.Errorf("halt %s/%d: %w", l.Topic, partition, err)
	}
	if tag.RowsAffected() == 0 {
		return ErrFenced
	}
	return nil
}
