package kafkalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// window hands out the records of a batch one at a time. Of a compressed batch it keeps no more than a record, except
// of snappy's, whose blocks are unpacked whole: they grow 22 times at most.
type window struct {
	b     []byte // what can be read without unpacking more
	codec codec  // nil: b is all there is
	own   []byte // behind b when codec is not nil
}

// maxRecord bounds a record that is unpacked, in bytes: no producer's default lets one of a thirtieth of that pass.
const maxRecord = 32 << 20

var (
	errTooLarge = fmt.Errorf("a record of more than %d bytes when unpacked", maxRecord)
	errShort    = errors.New("the batch ends within a record")
)

// reset makes the window read the records of another batch.
func (w *window) reset(compression int, records []byte) error {
	w.close()
	if compression == 0 {
		w.b = records
		return nil
	}
	codec, err := openCodec(compression, records)
	if err != nil {
		return err
	}
	w.codec, w.b = codec, nil
	if snappy, ok := codec.(*snappyCodec); ok && !snappy.framed {
		w.b, err = snappy.all()
	}
	return err
}

// close gives the codec and the memory back. What the window handed out is valid no longer.
func (w *window) close() {
	if w.codec != nil {
		w.codec.close()
	}
	if w.own != nil {
		releaseBuffer(w.own)
	}
	w.codec, w.b, w.own = nil, nil, nil
}

// next returns the bytes of the next record, without their length. They are valid until the next call.
func (w *window) next() ([]byte, error) {
	if err := w.fill(binary.MaxVarintLen64); err != nil && !errors.Is(err, errShort) {
		return nil, err
	}
	length, n := binary.Varint(w.b)
	switch {
	case n <= 0 || length < 0:
		return nil, errShort
	case length > maxRecord && w.codec != nil:
		return nil, errTooLarge
	}
	w.b = w.b[n:]
	if err := w.fill(int(length)); err != nil {
		return nil, err
	}
	content := w.b[:length:length]
	w.b = w.b[length:]
	return content, nil
}

// fill unpacks until at least n bytes can be read. errShort tells that there are fewer.
func (w *window) fill(n int) error {
	if len(w.b) >= n {
		return nil
	}
	if w.codec == nil {
		return errShort
	}
	kept := w.move(n)
	read, err := io.ReadAtLeast(w.codec, w.own[kept:], n-kept)
	w.b = w.own[:kept+read]
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errShort
	case err != nil:
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// move brings what is left to the front of a buffer of at least n bytes, and tells how much it is.
func (w *window) move(n int) (kept int) {
	if cap(w.own) >= n {
		w.own = w.own[:cap(w.own)]
		return copy(w.own, w.b)
	}
	larger := takeBuffer(n)
	larger = larger[:cap(larger)]
	kept = copy(larger, w.b)
	if w.own != nil {
		releaseBuffer(w.own)
	}
	w.own = larger
	return kept
}
