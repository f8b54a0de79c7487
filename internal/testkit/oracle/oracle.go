// Package oracle tells what the projections must hold after a log was folded, by reading the log itself: with another
// client, another decoder and another fold than the product's. It imports none of those, so that a fault has to be
// made twice to go unseen.
//
// It is written from the written rules (plain maps, one event at a time, nothing batched) and is slow and simple on
// purpose. Compare holds the live versions in PostgreSQL against it, in one snapshot.
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

// Expected is what the tables of the live versions must hold once the log that was read is folded. Missing rows are
// missing keys.
type Expected struct {
	Weights      map[WeightKey]Weight
	Days         map[DayKey]Day
	Mails        map[MailKey]Mail
	Applications map[ApplicationKey]Application

	// DeadLetters gives for each group the records that it must refuse, and why.
	DeadLetters map[string]map[Place]string
	// Records counts the data records of each partition, repeats and refused ones included.
	Records map[Partition]int64
	// Ends is where each partition ended when it was read: one past its last record.
	Ends map[Partition]int64
	// Repeats counts the records that had no effect in a group because an earlier one had it already.
	Repeats map[string]int64
}

// Partition is one partition of a topic, named without the deployment's prefix.
type Partition struct {
	Topic     string
	Partition int32
}

// Place is where a record stands.
type Place struct {
	Partition
	Offset int64
}

func (p Place) String() string {
	return fmt.Sprintf("%s/%d/%d", p.Topic, p.Partition.Partition, p.Offset)
}

// WeightKey is the key of a row of weight_counts.
type WeightKey struct{ User, Feature string }

// Weight is the rest of that row; Pinned is nil when nothing is pinned.
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

// MailKey identifies a mail: by its Message-ID, or by the hash of its content when it has none.
type MailKey struct{ User, MessageID, ContentHash string }

// Mail is what is compared of a mail.
type Mail struct {
	Subject, Thread, ListID string
	ReceivedAt              time.Time
}

// ApplicationKey is the key of a row of applications.
type ApplicationKey struct{ System, ID string }

// Application is the rest of that row. Of a removed one only the version is known.
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
