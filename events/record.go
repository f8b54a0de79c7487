package events

// Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// Record is an event in its wire form, without topic, partition and offset.
type Record struct {
	Key     []byte
	Value   []byte
	Headers []Header
}

// Stamp is the relay sequence of a record: the relay term and the number. Relay is zero if no relay published the record.
type Stamp struct {
	Relay UUID
	Seq   int64
}

// Head is the decoded headers of a record.
type Head struct {
	Envelope
	Stamp
	RedriveGroup string // the only group that applies a redriven record; empty for other records
	RedrivenFrom string
	RedriveForce bool
}
