// Package oracle computes the expected projections from the log itself, with another client, decoder and fold than the
// product's. It imports none of those, so that a mistake would have to be made twice to remain undetected.
//
// It implements the documented rules (plain maps, one event at a time, no batches) and is slow and simple on purpose. Compare
// compares it with the live versions in PostgreSQL, in one snapshot.
package oracle

import (
	"fmt"
	"time"
)

// The groups, and the topic that each of them reads.
const (
	Weights     = "weights"
	PolicyStats = "policystats"
	Mailbox     = "mailbox"
	Enrichment  = "enrichment"
)

var topicOf = map[string]string{
	Weights:     "applylens.actions",
	PolicyStats: "applylens.actions",
	Mailbox:     "applylens.mail",
	Enrichment:  "applylens.applications",
}

// Expected has the expected rows of the live versions once the log is folded. A missing key means that there is no row.
type Expected struct {
	Weights      map[WeightKey]Weight
	Days         map[DayKey]Day
	Mails        map[MailKey]Mail
	Applications map[ApplicationKey]Application

	// DeadLetters has the expected dead letters of each group, with their reasons.
	DeadLetters map[string]map[Place]string
	// Records counts the data records of each partition, including duplicates and dead letters.
	Records map[Partition]int64
	// Ends is the end of each partition when it was read: one past its last record.
	Ends map[Partition]int64
	// Repeats counts the duplicates of each group.
	Repeats map[string]int64
}

// Partition is one partition of a topic, named without the deployment's prefix.
type Partition struct {
	Topic     string
	Partition int32
}

// Place is the position of a record.
type Place struct {
	Partition
	Offset int64
}

func (p Place) String() string {
	return fmt.Sprintf("%s/%d/%d", p.Topic, p.Partition.Partition, p.Offset)
}

// WeightKey is the key of a row of weight_counts.
type WeightKey struct{ User, Feature string }

// Weight is the rest of that row; Pinned is nil if the feature is not pinned.
type Weight struct {
	Approvals, Rejections int64
	Pinned                *float64
	UpdatedAt             time.Time
}

// DayKey is the key of a row of policy_days; Day is 2006-01-02.
type DayKey struct {
	User   string
	Policy int64
	Day    string
}

// Day is the rest of that row.
type Day struct {
	Fired, Approved, Rejected, Missed int64
	UpdatedAt                         time.Time
}

// MailKey identifies a mail by its Message-ID, or by the hash of its content if it has none.
type MailKey struct{ User, MessageID, ContentHash string }

// Mail has the compared fields of a mail.
type Mail struct {
	Subject, Thread, ListID string
	ReceivedAt              time.Time
}

// ApplicationKey is the key of a row of applications.
type ApplicationKey struct{ System, ID string }

// Application is the rest of that row. A removed one has only the version.
type Application struct {
	Company, Stage string
	SrcVersion     int64
	Removed        bool
}

func newExpected() *Expected {
	e := &Expected{
		Weights:      map[WeightKey]Weight{},
		Days:         map[DayKey]Day{},
		Mails:        map[MailKey]Mail{},
		Applications: map[ApplicationKey]Application{},
		DeadLetters:  map[string]map[Place]string{},
		Records:      map[Partition]int64{},
		Ends:         map[Partition]int64{},
		Repeats:      map[string]int64{},
	}
	for group := range topicOf {
		e.DeadLetters[group] = map[Place]string{}
	}
	return e
}
