package events

// The topics, without the deployment's prefix. The table in the package comment tells who writes and reads them.
const (
	TopicActions      = "applylens.actions"
	TopicMail         = "applylens.mail"
	TopicApplications = "applylens.applications"
)

// Topics lists all topics in the order in which they are created.
var Topics = []string{TopicActions, TopicMail, TopicApplications}

// The headers of an event beside content-type, CloudEvents 1.0 Kafka binding in binary mode.
const (
	HeaderSpecVersion = "ce_specversion"
	HeaderID          = "ce_id"
	HeaderSource      = "ce_source"
	HeaderType        = "ce_type"
	HeaderTime        = "ce_time"
	HeaderSubject     = "ce_subject"
	HeaderContentType = "content-type"
	HeaderTraceparent = "traceparent"

	// HeaderRelayID and HeaderRelaySeq are the relay's stamp: the UUID of a leader's term, and the number of the
	// record within that term and partition, dense from 1, in decimal.
	HeaderRelayID  = "applylens_relay_id"
	HeaderRelaySeq = "applylens_relay_seq"

	// HeaderRedriveGroup names the only group for which a redriven dead letter has an effect; HeaderRedrivenFrom
	// is its first place as "topic/partition/offset"; HeaderRedriveForce is "true" when a conflict is overridden.
	HeaderRedriveGroup = "applylens_redrive_group"
	HeaderRedrivenFrom = "applylens_redriven_from"
	HeaderRedriveForce = "applylens_redrive_force"
)

// ApplicationKey is the key of the records of one application.
func ApplicationKey(system, applicationID string) string { return system + "/" + applicationID }

// Partition returns the partition of key among count partitions: the positive murmur2 hash of Kafka's Java client
// (org.apache.kafka.common.utils.Utils.murmur2) modulo count.
func Partition(key []byte, count int) int {
	return int(Murmur2(key)&0x7fffffff) % count
}

// Murmur2 is the 32-bit MurmurHash2 with the seed that Kafka's Java client uses.
func Murmur2(key []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(key))
	for len(key) >= 4 {
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
		key = key[4:]
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(key[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
