package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	maxBody     = 256 << 10
	bodyTimeout = 10 * time.Second

	// fileTimeout is how long a body that is a file, or a chunk of one, may take as a whole; bodyTimeout is then how long it may stand
	// still.
	fileTimeout = 10 * time.Minute

	// refusedBody is how long the rest of a body that nobody reads may still arrive. Without any time, the client could see
	// a broken connection instead of the answer.
	refusedBody = time.Second
)

// incoming is the body of a request. The connection has a read deadline from the request's header until the body was read
// to its end, whoever reads it: net/http itself reads the rest of a body that no handler wanted.
type incoming struct {
	io.ReadCloser
	control *http.ResponseController
	ended   bool

	// Of a file: how long it may stand still, and until when it has to be there.
	stillFor time.Duration
	until    time.Time
}

// boundBody sets the read deadline of a request. Without a body there is none, since at a read deadline net/http ends the
// context of a request that is being answered.
func (s *server) boundBody(w http.ResponseWriter, r *http.Request) *incoming {
	body := &incoming{ReadCloser: r.Body, control: http.NewResponseController(w), ended: r.Body == nil || r.Body == http.NoBody}
	if body.ended {
		body.setDeadline(time.Time{})
		return body
	}
	body.setDeadline(time.Now().Add(s.bodyFor))
	if bringsFile(r) {
		body.stillFor, body.until = s.bodyFor, time.Now().Add(fileTimeout)
	}
	r.Body = body
	return body
}

// bringsFile tells whether the body of a request is a file or a chunk of one.
func bringsFile(r *http.Request) bool {
	if r.Method == http.MethodPut {
		return strings.HasPrefix(strings.TrimPrefix(r.URL.Path, prefix), uploadsPath+"/")
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.Method == http.MethodPost && media == formMedia
}

// formMedia is the content type of a form with files.
const formMedia = "multipart/form-data"

// setDeadline does nothing where there is no connection, as in tests.
func (b *incoming) setDeadline(at time.Time) { _ = b.control.SetReadDeadline(at) }

// Read implements io.Reader.
func (b *incoming) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.until.IsZero() && n > 0 {
		now := time.Now()
		b.setDeadline(earlier(now.Add(b.stillFor), b.until))
		_ = b.control.SetWriteDeadline(now.Add(writeTimeout)) // as if the request had come just now
	}
	if errors.Is(err, io.EOF) && !b.ended {
		b.ended = true
		b.setDeadline(time.Time{})
	}
	return n, err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// leave is called when the request has been answered.
func (b *incoming) leave() {
	if !b.ended {
		b.setDeadline(time.Now().Add(refusedBody))
	}
}

// readBody is the middleware that reads the whole body under its limits, so that handlers get checked JSON and a slow
// client holds nothing but a connection. Without a body, no content type is asked for.
func (s *server) readBody(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if ctx.Operation().Metadata[chunkMark] != nil {
			s.readChunk(api, ctx, next)
			return
		}
		var body []byte
		if r.Body != nil && r.Body != http.NoBody {
			var err error
			body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			if problem := s.judge(r, body, err); problem != nil {
				refuse(api, ctx, problem)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		next(withHash(ctx, r, body))
	}
}

// judge returns the problem with which a body is refused, nil for none.
func (s *server) judge(r *http.Request, body []byte, err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return huma.NewError(http.StatusRequestEntityTooLarge, "a body has at most 256 KiB")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return huma.NewError(http.StatusRequestTimeout, fmt.Sprintf("the body did not arrive within %s", s.bodyFor))
	case err != nil:
		return huma.Error400BadRequest("the body could not be read to its end")
	case len(body) == 0:
		return nil
	case !isJSON(r.Header.Get("Content-Type")):
		return huma.Error415UnsupportedMediaType("the body has to be JSON, with Content-Type: application/json")
	}
	if err := checkBody(body); err != nil {
		return huma.Error400BadRequest(err.Error())
	}
	if place := duplicateMember(body); place != "" {
		return invalidField(place, "the object has this member twice")
	}
	return nil
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "application/json"
}

type requestHashKey struct{}

// withHash stores a hash of the request in the context if it carries an Idempotency-Key.
func withHash(ctx huma.Context, r *http.Request, body []byte) huma.Context {
	if r.Header.Get("Idempotency-Key") == "" {
		return ctx
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s?%s\n", r.Method, strings.TrimPrefix(r.URL.Path, prefix), r.URL.RawQuery)
	sum.Write(body)
	return huma.WithValue(ctx, requestHashKey{}, sum.Sum(nil))
}

func requestHash(ctx context.Context) []byte {
	sum, _ := ctx.Value(requestHashKey{}).([]byte)
	return sum
}
