package api

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/uploads"
)

const uploadEventsDescription = `Server-sent events: progress whenever something has changed, and done when nothing more will: the file was refused, or ` +
	`its mail is in the mailbox. Both have the upload as their data. A comment comes when nothing has changed for 15 seconds.`

const progressName = "progress"

// uploadLook is how often a stream looks how far an upload is.
const uploadLook = 500 * time.Millisecond

type uploadEventsInput struct {
	UploadID
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"The id of the last event of a stream that broke"`
}

func (s *server) routeUploadEvents(api huma.API, tags []string) {
	list := []namedEvent{{progressName, reflect.TypeFor[uploadView]()}, {doneName, reflect.TypeFor[uploadView]()}, {errorName, reflect.TypeFor[huma.ErrorModel]()}}
	Route(api, streaming(huma.Operation{OperationID: "followUpload", Method: http.MethodGet, Path: uploadsPath + "/{id}/events", Tags: tags,
		Summary: "Follow an upload and its import", Description: uploadEventsDescription,
		Responses: map[string]*huma.Response{
			"200": {Description: "The events", Content: map[string]*huma.MediaType{eventStream: {Schema: eventsSchema(api, list)}}},
			"204": {Description: "The stream of Last-Event-ID has ended"},
		}}), s.followUpload)
}

// followUpload streams the progress of an upload.
func (s *server) followUpload(ctx context.Context, in *uploadEventsInput) (*huma.StreamResponse, error) {
	u, err := s.findUpload(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	ended := strings.HasSuffix(in.LastEventID, "."+endMark)
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		if ended {
			ctx.SetStatus(http.StatusNoContent)
			return
		}
		r, w := humago.Unwrap(ctx)
		s.streamUpload(ctx.Context(), w, r, u)
	}}, nil
}

// streamUpload writes events until nothing more will change, the client is gone or signed out, or the server drains, after which the
// client connects again.
func (s *server) streamUpload(ctx context.Context, w http.ResponseWriter, request *http.Request, u *uploads.Upload) {
	if request.Method == http.MethodHead {
		w.Header().Set("Content-Type", eventStream)
		return
	}
	ctx, stop := s.whileSignedIn(ctx, request)
	defer stop()
	f := &feed{writer: w, control: http.NewResponseController(w), id: u.ID.String(), beat: s.beat, writeFor: s.writeFor}
	if f.begin() != nil {
		return
	}
	drains := serving(ctx)
	err := f.run(ctx, func(ctx context.Context, send func(string, any) error) error {
		last := uploadView{}
		for drains.Err() == nil {
			view := viewOfUpload(u)
			name := progressName
			if settled(u) {
				name = doneName
			}
			if !reflect.DeepEqual(view, last) {
				if err := send(name, view); err != nil || name == doneName {
					return err
				}
				last = view
			}
			if err := retry.Wait(ctx, uploadLook); err != nil {
				return err
			}
			var err error
			if u, err = s.lookAtUpload(ctx, u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		_ = f.write(message{errorName, problemModel(ctx, err)}) // the client may be gone
	}
}

// settled tells whether nothing about an upload will change.
func settled(u *uploads.Upload) bool {
	return u.State == uploads.Failed || u.State == uploads.Done && (u.Visible || u.Imported == 0)
}

func (s *server) lookAtUpload(ctx context.Context, u *uploads.Upload) (*uploads.Upload, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return s.findUpload(ctx, u.ID.String())
}
