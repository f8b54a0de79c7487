package events

// Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// Record is an event in its wire form, without the place where Kafka keeps it.
type Record struct {
	Key     []byte
	Value   []byte
	Headers []Header
}

// Stamp is the relay's number of a record; Relay is zero for a record that no relay published.
type Stamp struct {
	Relay UUID
	Seq   int64
}

// Head is what the headers of a record say.
type Head struct {
	Envelope
	Stamp
	RedriveGroup string // the only group that folds a redriven record; empty for all others
	RedrivenFrom string
	RedriveForce bool
}
