package events

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
