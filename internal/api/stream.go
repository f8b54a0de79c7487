package api

import (
	"fmt"
	"net/http"
	"time"
)

// maxPiece is how many bytes of a streamed answer are written under one deadline.
const maxPiece = 32 << 10

// patientWriter writes to a client as long as it reads: each piece has a deadline of its own, so that the answer may take any time while
// the client makes progress, and a client that stops reading is cut. It is not safe for concurrent use.
type patientWriter struct {
	writer  http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration // for a piece
}

// Write implements io.Writer. What it has written has been sent.
func (p *patientWriter) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		piece := b[written:min(written+maxPiece, len(b))]
		_ = p.control.SetWriteDeadline(time.Now().Add(p.limit)) // there is no connection in tests
		n, err := p.writer.Write(piece)
		written += n
		if err == nil {
			err = p.control.Flush()
		}
		if err != nil {
			return written, fmt.Errorf("write to the client: %w", err)
		}
	}
	return written, nil
}
