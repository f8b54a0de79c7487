package consumers

import "fmt"

// HaltReason tells why a partition stopped. The set is closed: it labels metrics and is stored.
type HaltReason string

// The reasons to halt. Those marked "retried" are looked at again at the next claim, since a new binary, a migration
// or a grant mends them; all others wait for an operator's command.
const (
	HaltGap         HaltReason = "gap"          // the position is below the log's start: records are lost
	HaltTruncated   HaltReason = "truncated"    // the log ends below the position, or did under an earlier leader
	HaltRecreated   HaltReason = "recreated"    // the topic of that name has another id, or the cluster has
	HaltGrown       HaltReason = "grown"        // the topic has another number of partitions
	HaltSequence    HaltReason = "sequence"     // numbers of a relay are missing in the log
	HaltDeadLetters HaltReason = "dead_letters" // too many records in a row could not be applied
	HaltUnknownType HaltReason = "unknown_type" // retried: an event of a newer version of ApplyLens
	HaltDatabase    HaltReason = "database"     // retried: the schema or the rights do not fit
	HaltFoldVersion HaltReason = "fold_version" // retried: the live version was folded by other code
)

// retried tells whether a claim may clear the reason by itself.
func (r HaltReason) retried() bool {
	return r == HaltUnknownType || r == HaltDatabase || r == HaltFoldVersion
}

// HaltError stops a partition at the record that it was met at. Detail names the way on.
type HaltError struct {
	Reason HaltReason
	Detail string
	Lost   int64 // records known to be lost
}

func (e *HaltError) Error() string { return fmt.Sprintf("halted: %s: %s", e.Reason, e.Detail) }

func halt(reason HaltReason, format string, args ...any) *HaltError {
	return &HaltError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
