package kafkalog

import "sync"

// Answers are read into buffers of a few sizes that are used again: a fetch of half a megabyte would otherwise leave as
// much garbage, several hundred times a second.
const (
	smallBuffer = 64 << 10
	largeBuffer = 4 << 20 // larger answers are rare, and not kept
)

// buffers holds free buffers by the power of two of their size, from smallBuffer to largeBuffer.
var buffers [7]sync.Pool

// sizeClass returns the index of the smallest class that holds n bytes, or -1.
func sizeClass(n int) int {
	for class, size := 0, smallBuffer; size <= largeBuffer; class, size = class+1, size*2 {
		if n <= size {
			return class
		}
	}
	return -1
}

// takeBuffer returns a buffer of n bytes with any content.
func takeBuffer(n int) []byte {
	class := sizeClass(n)
	if class < 0 {
		return make([]byte, n)
	}
	if kept, ok := buffers[class].Get().(*[]byte); ok {
		return (*kept)[:n]
	}
	return make([]byte, n, smallBuffer<<class)
}

// releaseBuffer gives a buffer back. Nobody may use it any more.
func releaseBuffer(b []byte) {
	class := sizeClass(cap(b))
	if class < 0 || cap(b) != smallBuffer<<class {
		return
	}
	buffers[class].Put(&b)
}
