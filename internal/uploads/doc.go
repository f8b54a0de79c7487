// Package uploads keeps files of mail that persons upload, until they are imported: rows of the table uploads, which it owns, and
// files of a directory that all processes of the deployment share.
//
// A file comes in chunks. A chunk is received into a file of its own, checked against its hash, and then appended under the lock of
// the upload's row; its bytes are on disk before the row says so, so what a row says is stored is stored, whatever was killed in
// between. The names of uploaded files are shown and are never paths. What the mail says is none of this package's business: the
// import (producers/uploadimport) reads the files and notes here what it came to.
package uploads

import (
	"errors"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

// MaxChunk is the size of a chunk, of which the last one may have less.
const MaxChunk = 8 << 20

// maxReasons is how many reasons of what was refused are kept.
const maxReasons = 20

// The states of an upload.
const (
	Receiving = "receiving"
	Waiting   = "waiting" // to be imported
	Importing = "importing"
	Done      = "done"
	Failed    = "failed"
)

// Why something is not done.
var (
	ErrNone     = errors.New("there is no such upload")
	ErrChunk    = errors.New("a chunk has at most 8 MiB")
	ErrDigest   = errors.New("the bytes that arrived are not those of the digest")
	ErrComplete = errors.New("all of the file is stored")
	ErrBeyond   = errors.New("the chunk goes beyond the size that was announced")
	ErrMany     = errors.New("as many uploads as may be are unfinished")
	ErrQuota    = errors.New("the files that wait would take more than a person may store")
)

// OffsetError tells at which offset the next chunk has to begin.
type OffsetError struct{ Due int64 }

// Error implements error.
func (e *OffsetError) Error() string { return "the chunk does not begin where the stored bytes end" }

// Upload is a file and what became of it.
type Upload struct {
	ID          events.UUID
	UserID      string
	Name        string
	Size        int64
	Stored      int64
	SHA256      []byte // nil if it was not announced
	Fingerprint string
	State       string
	Progress
	Error     string
	Visible   bool // the mailbox has folded what was imported
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Progress is what an import has come to.
type Progress struct {
	Read       int64 // bytes
	Imported   int
	Broken     int
	LeftOut    int
	Unreadable int // files
	Reasons    []string
	Stalled    bool // Kafka is unavailable
}

// Refused keeps a reason, if there are not enough yet.
func (p *Progress) Refused(reason string) {
	if len(p.Reasons) < maxReasons {
		p.Reasons = append(p.Reasons, reason)
	}
}

// Place is where a person's mail ends in the log.
type Place struct {
	Partition int
	End       int64
}

// DB is a transaction or the pool.
type DB = postgres.DB

// Limits bound what is kept.
type Limits struct {
	Quota      int64         // bytes of all files of a person that are not imported yet
	Unfinished int           // uploads of a person that are being received
	Expires    time.Duration // after the last chunk of an upload that is not complete
	Kept       time.Duration // what became of an import
}

// DefaultLimits are those of a deployment that sets none.
func DefaultLimits() Limits {
	return Limits{Quota: 20 << 30, Unfinished: 5, Expires: 3 * 24 * time.Hour, Kept: 30 * 24 * time.Hour}
}
