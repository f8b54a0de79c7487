package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/uploads"
)

const uploadsPath = "/uploads"

// chunkMark marks the operation whose body is a chunk of a file.
const chunkMark = "chunk"

// mostChunks bounds the chunks that one person sends at once, and with them the disk space that nobody's quota counts.
const mostChunks = 4

const chunkDescription = `Chunks come one after the other, each with at most 8 MiB, as the body, and with its hash in the header Content-Digest (RFC 9530, ` +
	`sha-256). When it is answered, the bytes are on disk. A wrong hash is refused and nothing is stored; another offset than the one that is ` +
	`due is answered 409 with the one that is. With the last byte the file waits to be imported.`

const createDescription = `Announces a file: an mbox, a message, or a zip or tar archive of such files or of a Maildir, also gzipped. It is then sent in ` +
	`chunks, and imported as "applylens import" does. An upload that is not complete is deleted three days after its last chunk.`

type createUploadInput struct {
	Idempotent
	Body struct {
		Name        string `json:"name" minLength:"1" maxLength:"255" doc:"The file's name, for people"`
		Size        int64  `json:"size" minimum:"1" doc:"In bytes"`
		SHA256      string `json:"sha256,omitempty" pattern:"^[0-9a-f]{64}$" doc:"Of the whole file: what arrived is compared with it before it is imported"`
		Fingerprint string `json:"fingerprint,omitempty" maxLength:"100" doc:"By which the client knows the file again when it resumes"`
	}
}

// uploadView is an upload as clients see it.
type uploadView struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Size        int64     `json:"size"`
	Offset      int64     `json:"offset" doc:"How many bytes are stored for certain: where the next chunk begins"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	State       string    `json:"state" enum:"receiving,waiting,importing,done,failed" doc:"done: Kafka has acknowledged every mail of it"`
	Import      progress  `json:"import"`
	Error       string    `json:"error,omitempty" doc:"What was wrong with the file"`
	Visible     bool      `json:"visible" doc:"What was imported is in the mailbox"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

type progress struct {
	ReadBytes  int64    `json:"read_bytes"`
	Imported   int      `json:"imported" doc:"Mails that Kafka has acknowledged"`
	Broken     int      `json:"broken" doc:"Messages that were refused"`
	LeftOut    int      `json:"left_out" doc:"Mails in trash, drafts or junk"`
	Unreadable int      `json:"unreadable" doc:"Files that could not be read"`
	Reasons    []string `json:"reasons" nullable:"false" doc:"Why the first of them were refused"`
	Stalled    bool     `json:"stalled" doc:"Kafka is unavailable; the import goes on when it is back"`
}

func viewOfUpload(u *uploads.Upload) uploadView {
	reasons := u.Reasons
	if reasons == nil {
		reasons = []string{}
	}
	return uploadView{
		ID: u.ID.String(), Name: u.Name, Size: u.Size, Offset: u.Stored, Fingerprint: u.Fingerprint, State: u.State,
		Import: progress{u.Read, u.Imported, u.Broken, u.LeftOut, u.Unreadable, reasons, u.Stalled},
		Error:  u.Error, Visible: u.Visible, CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC(),
	}
}

type uploadsAnswer struct {
	Body struct {
		Accepted   bool         `json:"accepted" doc:"Whether the caller may upload here"`
		ChunkBytes int64        `json:"chunk_bytes" doc:"The greatest size of a chunk"`
		QuotaBytes int64        `json:"quota_bytes" doc:"How much the files of a person that are not imported yet may take"`
		UsedBytes  int64        `json:"used_bytes"`
		Unfinished int          `json:"unfinished" doc:"How many uploads may be incomplete at once"`
		Uploads    []uploadView `json:"uploads" nullable:"false" doc:"The newest 50, newest first"`
	}
}

// UploadID is part of the input of operations on an upload.
type UploadID struct {
	ID string `path:"id" maxLength:"36"`
}

type uploadAnswer struct{ Body uploadView }

type chunkInput struct {
	UploadID
	Offset int64  `query:"offset" minimum:"0" required:"true" doc:"Where in the file the chunk begins"`
	Digest string `header:"Content-Digest" required:"true" maxLength:"200" doc:"sha-256=:BASE64: of the chunk"`
}

func (s *server) routeUploads(api huma.API) {
	tags := []string{"uploads"}
	late := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[offsetConflict](), true, "OffsetConflict")
	Route(api, huma.Operation{OperationID: "createUpload", Method: http.MethodPost, Path: uploadsPath, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Announce a file of mail to upload", Description: createDescription}, s.createUpload)
	Route(api, huma.Operation{OperationID: "listUploads", Method: http.MethodGet, Path: uploadsPath, Tags: tags,
		Summary: "List the caller's uploads"}, s.listUploads)
	Route(api, huma.Operation{OperationID: "getUpload", Method: http.MethodGet, Path: uploadsPath + "/{id}", Tags: tags,
		Summary: "Get an upload, to resume it or to see how far its import is"}, s.getUpload)
	Route(api, huma.Operation{OperationID: "putChunk", Method: http.MethodPut, Path: uploadsPath + "/{id}", Tags: tags, Metadata: map[string]any{chunkMark: true},
		Summary: "Send a chunk of an upload", Description: chunkDescription,
		Responses: map[string]*huma.Response{"409": {
			Description: "The chunk begins at another offset than the one that is due, which the problem names; or all of the file is stored",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: late}},
		}},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}}, s.putChunk)
	Route(api, huma.Operation{OperationID: "deleteUpload", Method: http.MethodDelete, Path: uploadsPath + "/{id}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Delete an upload; what was imported of it stays"}, s.deleteUpload)
	s.routeUploadEvents(api, tags)
}

// errNoUploads answers where no files are taken.
func (s *server) errNoUploads(ctx context.Context) error {
	switch {
	case s.uploads == nil:
		return huma.Error403Forbidden("this deployment takes no uploads: it runs without UPLOADS_DIR. Import with: applylens import FILE")
	case auth.From(ctx).Demo():
		return huma.Error403Forbidden("a demo person has sample mail only: go back to your own mail, and import there")
	}
	return nil
}

func (s *server) createUpload(ctx context.Context, in *createUploadInput) (*answered[uploadView], error) {
	if err := s.errNoUploads(ctx); err != nil {
		return nil, err
	}
	name := displayName(in.Body.Name)
	if name == "" {
		return nil, invalidField("body.name", "the name has no letter that can be shown")
	}
	digest, _ := hex.DecodeString(in.Body.SHA256) // it has the pattern
	if len(digest) == 0 {
		digest = nil
	}
	return change(ctx, s, in.Key, http.StatusCreated, work[uploadView]{
		then: func(ctx context.Context, tx *transaction) (uploadView, error) {
			u := &uploads.Upload{UserID: tx.user, Name: name, Size: in.Body.Size, SHA256: digest, Fingerprint: in.Body.Fingerprint,
				CreatedAt: time.Now().UTC(), UpdatedAt: time.Now().UTC()}
			err := s.uploads.Create(ctx, tx, u)
			limits := s.uploads.Limits()
			switch {
			case errors.Is(err, uploads.ErrMany):
				return uploadView{}, huma.NewError(http.StatusTooManyRequests,
					fmt.Sprintf("%d of your uploads are not complete, which is as many as may be: complete or delete one", limits.Unfinished))
			case errors.Is(err, uploads.ErrQuota):
				return uploadView{}, huma.NewError(http.StatusRequestEntityTooLarge,
					fmt.Sprintf("your files that are not imported yet may take %d bytes: wait for an import, delete an upload, or use applylens import", limits.Quota))
			}
			return viewOfUpload(u), err
		},
	})
}

// displayName is the name of a file without folders and without what cannot be shown.
func displayName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	return strings.TrimSpace(name[strings.LastIndexAny(name, `/\`)+1:])
}

func (s *server) listUploads(ctx context.Context, _ *struct{}) (*uploadsAnswer, error) {
	answer := &uploadsAnswer{}
	answer.Body.Uploads = []uploadView{}
	answer.Body.ChunkBytes = uploads.MaxChunk
	if s.uploads == nil {
		return answer, nil
	}
	list, used, err := s.uploads.List(ctx, auth.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	limits := s.uploads.Limits()
	answer.Body.Accepted = s.errNoUploads(ctx) == nil
	answer.Body.QuotaBytes, answer.Body.UsedBytes, answer.Body.Unfinished = limits.Quota, used, limits.Unfinished
	for i := range list {
		answer.Body.Uploads = append(answer.Body.Uploads, viewOfUpload(&list[i]))
	}
	return answer, nil
}

// find returns the caller's upload with an id.
func (s *server) findUpload(ctx context.Context, id string) (*uploads.Upload, error) {
	key, err := events.ParseUUID(id)
	if err != nil || s.uploads == nil {
		return nil, notFound("upload")
	}
	u, err := s.uploads.Find(ctx, auth.From(ctx).ID, key)
	if errors.Is(err, uploads.ErrNone) {
		return nil, notFound("upload")
	}
	return u, err
}

func (s *server) getUpload(ctx context.Context, in *UploadID) (*uploadAnswer, error) {
	u, err := s.findUpload(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &uploadAnswer{viewOfUpload(u)}, nil
}

func (s *server) deleteUpload(ctx context.Context, in *UploadID) (*struct{}, error) {
	u, err := s.findUpload(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.uploads.Delete(ctx, u.UserID, u.ID); errors.Is(err, uploads.ErrNone) {
		return nil, notFound("upload")
	} else if err != nil {
		return nil, err
	}
	return nil, nil
}

type chunkKey struct{}

// readChunk receives the body as a chunk, before the operation has a slot: a slow client holds nothing but a connection and a file.
func (s *server) readChunk(api huma.API, ctx huma.Context, next func(huma.Context)) {
	digest, err := digestOf(ctx.Header("Content-Digest"))
	if err != nil || s.errNoUploads(ctx.Context()) != nil {
		next(ctx) // which says what is wrong, as with any other parameter
		return
	}
	person := auth.From(ctx.Context()).ID
	if err := s.chunks.enter(ctx.Context(), person); err != nil {
		refuse(api, ctx, s.chunks.problem(ctx.Context(), err))
		return
	}
	defer s.chunks.leave(person)
	c, err := s.uploads.Receive(ctx.BodyReader(), digest)
	var own *os.PathError
	switch {
	case err == nil:
	case errors.As(err, &own), errors.Is(err, uploads.ErrChunk), errors.Is(err, uploads.ErrDigest), errors.Is(err, os.ErrDeadlineExceeded):
		refuse(api, ctx, s.problemOfChunk(ctx.Context(), err))
		return
	default:
		refuse(api, ctx, huma.Error400BadRequest("the body could not be read to its end; nothing was stored"))
		return
	}
	defer c.Discard()
	next(huma.WithValue(ctx, chunkKey{}, c))
}

func (s *server) problemOfChunk(ctx context.Context, err error) error {
	var late *uploads.OffsetError
	switch {
	case errors.Is(err, uploads.ErrChunk):
		return huma.NewError(http.StatusRequestEntityTooLarge, "a chunk has at most 8 MiB")
	case errors.Is(err, uploads.ErrDigest):
		return invalidField("header.Content-Digest", "the bytes that arrived do not have this hash; nothing was stored: send the chunk again")
	case errors.Is(err, uploads.ErrNone):
		return notFound("upload")
	case errors.As(err, &late):
		return &offsetConflict{huma.ErrorModel{Title: http.StatusText(http.StatusConflict), Status: http.StatusConflict,
			Detail: fmt.Sprintf("the next chunk has to begin at offset %d; nothing was stored", late.Due)}, late.Due}
	case errors.Is(err, uploads.ErrComplete):
		return huma.Error409Conflict("all of the file is stored already")
	case errors.Is(err, uploads.ErrBeyond):
		return invalidField("body", "the chunk goes beyond the size that was announced; nothing was stored")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return huma.NewError(http.StatusRequestTimeout, fmt.Sprintf("the body stood still for %s, or took longer than %s; nothing was stored", s.bodyFor, fileTimeout))
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		loggerFrom(ctx).Error("the disk of uploads is full", "error", err)
		return retryLater(huma.Error503ServiceUnavailable("the server's disk is full; nothing was stored"), "60")
	}
	return problemOf(ctx, err)
}

// offsetConflict is the answer to a chunk that does not begin where the stored bytes end.
type offsetConflict struct {
	huma.ErrorModel
	Offset int64 `json:"offset" doc:"Where the next chunk has to begin"`
}

var digestField = regexp.MustCompile(`(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]{44}):\s*(?:,|$)`)

// digestOf reads the header Content-Digest.
func digestOf(header string) ([]byte, error) {
	found := digestField.FindStringSubmatch(header)
	if found != nil {
		if digest, err := base64.StdEncoding.DecodeString(found[1]); err == nil && len(digest) == sha256.Size {
			return digest, nil
		}
	}
	return nil, invalidField("header.Content-Digest", "expected the SHA-256 of the chunk as sha-256=:BASE64:")
}

func (s *server) putChunk(ctx context.Context, in *chunkInput) (*uploadAnswer, error) {
	if err := s.errNoUploads(ctx); err != nil {
		return nil, err
	}
	if _, err := digestOf(in.Digest); err != nil {
		return nil, err
	}
	u, err := s.findUpload(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	c, _ := ctx.Value(chunkKey{}).(*uploads.Chunk)
	if c == nil || c.Size == 0 {
		return nil, invalidField("body", "the chunk is empty")
	}
	if _, err := s.uploads.Append(ctx, u.UserID, u.ID, in.Offset, c); err != nil {
		return nil, s.problemOfChunk(ctx, err)
	}
	return s.getUpload(ctx, &in.UploadID)
}
