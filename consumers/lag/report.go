package lag

import "time"

// Status is how a partition, or the worst of a group, is doing.
type Status string

// The statuses, worst first.
const (
	Halted      Status = "HALTED"      // it stopped by itself and waits for an operator or another binary
	Lost        Status = "LOST"        // the log begins above the position: records were deleted unread
	Stopped     Status = "STOPPED"     // nobody reads it
	Stalled     Status = "STALLED"     // records are readable, and the position stood still over the whole window
	Blocked     Status = "BLOCKED"     // all that can be read was read, and the rest stands behind an open transaction of another producer
	Unknown     Status = "UNKNOWN"     // it cannot be told
	Rebalancing Status = "REBALANCING" // the group is assigning its partitions
	Lagging     Status = "LAGGING"     // it moves, or may move, and was caught up at no look of the window
	OK          Status = "OK"          // it was caught up at some look of the window
)

// Statuses lists all, worst first.
var Statuses = []Status{Halted, Lost, Stopped, Stalled, Blocked, Unknown, Rebalancing, Lagging, OK}

// The sources of positions.
const (
	SourcePostgres = "postgres"
	SourceMirror   = "mirror" // the group offsets in Kafka: never ahead of the positions, perhaps behind them
)

// Report is what one look found. A null means unknown, never 0.
type Report struct {
	At     time.Time `json:"at"`
	Groups []Group   `json:"groups"`
	Notes  []string  `json:"notes"` // what could not be asked
}

// Group is one version of a projection: the live one, or one that is being built.
type Group struct {
	Name       string      `json:"group"` // short
	Topic      string      `json:"topic"` // without the deployment's prefix
	Version    *int        `json:"version"`
	Building   bool        `json:"building"`
	Source     string      `json:"source"`      // of the positions
	KafkaState string      `json:"kafka_state"` // of the group; empty for a version that is being built, or unknown
	Members    []Member    `json:"members"`     // null when unknown, and for a version that is being built
	Status     Status      `json:"status"`      // the worst of the partitions
	Cause      string      `json:"cause"`
	Totals     Totals      `json:"totals"`
	Partitions []Partition `json:"partitions"`
}

// Member is one process in the Kafka group.
type Member struct {
	ID         string `json:"id"`
	ClientID   string `json:"client_id"`
	Host       string `json:"host"`
	Partitions []int  `json:"partitions"`
}

// Totals add up what is known; each says for how many partitions it is not.
type Totals struct {
	LagRecords        *int64 `json:"lag_records"`
	LagRecordsUnknown int    `json:"lag_records_unknown"`
	// BlockedRecords stand behind open transactions: they are in the log, and not part of lag_records.
	BlockedRecords        *int64 `json:"blocked_records"`
	BlockedRecordsUnknown int    `json:"blocked_records_unknown"`

	LostRecords        *int64   `json:"lost_records"`
	LostRecordsUnknown int      `json:"lost_records_unknown"`
	LagSeconds         *float64 `json:"lag_seconds"` // the greatest
	LagSecondsUnknown  int      `json:"lag_seconds_unknown"`
	RecordsPerSecond   *float64 `json:"records_per_second"` // read, over the window
	Trend              string   `json:"trend"`              // growing, shrinking or steady over the window; empty when unknown
	ETASeconds         *float64 `json:"eta_seconds"`        // until all are caught up at the rates of the window; null: never, or unknown
}

// Partition is how far one partition was read. Offsets, and so counts of records, include what transactions leave
// between the records.
type Partition struct {
	Partition   int      `json:"partition"`
	Position    *int64   `json:"position"` // the next offset to read; null also before the first reading, which begins at the log's start
	LogStart    *int64   `json:"log_start"`
	LogEnd      *int64   `json:"log_end"`      // up to where records are readable: open transactions are not
	LagRecords  *int64   `json:"lag_records"`  // readable and not yet read
	LostRecords *int64   `json:"lost_records"` // deleted before they were read, and not yet given up by an operator
	LagSeconds  *float64 `json:"lag_seconds"`  // age of the record at the position; 0 when there is none; null also when that record is lost, or dated after now

	HighWatermark  *int64 `json:"high_watermark"`  // the end of the log, whatever can be read of it
	BlockedRecords *int64 `json:"blocked_records"` // from log_end to high_watermark: the first open transaction and all behind it

	MirrorOffset *int64   `json:"mirror_offset"` // null for a version that is being built, which has none
	MirrorDrift  *int64   `json:"mirror_drift"`  // position - mirror; below 0 somebody else wrote the group's offsets
	State        string   `json:"state"`         // running or halted; empty when unknown or never read
	HaltReason   string   `json:"halt_reason"`
	HaltDetail   string   `json:"halt_detail"`
	Owner        string   `json:"owner"`  // who claimed the position last
	Member       string   `json:"member"` // the Kafka member that is assigned to it
	Status       Status   `json:"status"`
	Cause        string   `json:"cause"`
	ETASeconds   *float64 `json:"eta_seconds"`

	topicID [16]byte
	from    *int64 // where reading goes on
	otherID bool   // the position is one of an earlier topic of the name, or of another cluster
}
