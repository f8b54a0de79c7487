package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
)

const chatDescription = `Answers a question about the caller's mail as server-sent events, in this order: ready, intent, tool, answer (each claim with the ` +
	`ids of its mails), filed with propose, memory with remember, done; error, a problem, ends the stream instead. A comment comes when nothing else has ` +
	`for 15 seconds. Nothing is repeated by a reconnect with the header Last-Event-ID: what was proposed and kept is told again, and after the last event ` +
	`the answer is 204. With a session cookie, propose and remember need the one-use id of POST /chat.`

// Question is what a person asks, and what may come of it.
type Question struct {
	Q          string `json:"q" query:"q" maxLength:"4000" doc:"A question or a wish, in plain words; or a query as GET /search takes it"`
	Mode       string `json:"mode,omitempty" query:"mode" enum:"off,networking,money" doc:"What is boosted, as in GET /search; without it, what the question is about"`
	Propose    bool   `json:"propose,omitempty" query:"propose" doc:"Let the policies propose actions on the mail that the question means"`
	Explain    bool   `json:"explain,omitempty" query:"explain" doc:"Tell why mail ranks high, and why actions are or would be proposed"`
	Remember   bool   `json:"remember,omitempty" query:"remember" doc:"Keep what the question says to like or not, as PUT /preferences does"`
	Plain      bool   `json:"plain,omitempty" query:"plain" doc:"Answer without the language model: at once, and at no cost to the day's questions"`
	WindowDays int    `json:"window_days,omitempty" query:"window_days" default:"30" minimum:"1" maximum:"3650" doc:"How old mail may be, unless the question names a time, or is about applications, proposals or likes"`
}

type chatInput struct {
	Question
	Stream      string `query:"stream" maxLength:"32" doc:"The id that POST /chat returned, instead of all other parameters"`
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"The id of the last event of a stream that broke"`
	head        bool
}

// Resolve implements huma.Resolver.
func (in *chatInput) Resolve(ctx huma.Context) []error {
	in.head = ctx.Method() == http.MethodHead
	return nil
}

type announceInput struct {
	Idempotent
	Body Question
}

type announced struct {
	Stream string `json:"stream" doc:"Runs the question once, within two minutes: GET /chat/stream?stream="`
}

// The data of events.
type (
	readyEvent struct {
		Stream string `json:"stream"`
		Again  bool   `json:"again" doc:"This is a reconnect: the answer begins anew, and no effect happens twice"`
	}
	intentEvent struct {
		Intent     string `json:"intent" enum:"search,count,summary,propose,explain,remember,money,networking,status,help,unknown"`
		Language   string `json:"language" enum:"en,de,fr,es"`
		Query      string `json:"query" doc:"What is searched for, in the language of GET /search"`
		Mode       string `json:"mode" enum:"off,networking,money"`
		WindowDays int    `json:"window_days" doc:"0 when the question names a time itself"`
	}
	toolEvent struct {
		Tool    string `json:"tool" enum:"search,none"`
		Query   string `json:"query" doc:"What found them, in the language of GET /search: the intent's query, or the wider one; empty without a search"`
		Matches int    `json:"matches" doc:"How many mails were found"`
		Capped  bool   `json:"capped" doc:"There may be more"`
		Wider   bool   `json:"wider" doc:"No mail has all words of the question; these have some. Nothing is proposed for them"`
		Actions int    `json:"actions" doc:"How many actions the policies would propose on them; counted for proposals, and with propose or explain"`
	}
	answerEvent struct {
		Text      string   `json:"text" doc:"Plain text, one sentence or a few"`
		MailIDs   []string `json:"mail_ids" nullable:"false" doc:"The mails that say so"`
		By        string   `json:"by" enum:"rules,mail,model,note" doc:"Whose words: ours, those of a mail, those of the language model, or ours about the answer itself"`
		WouldKeep []pinned `json:"would_keep,omitempty" doc:"What would be kept with remember, for confirmation"`
	}
	filedEvent struct {
		Proposed int      `json:"proposed"`
		Actions  []string `json:"actions" nullable:"false" doc:"The ids of the proposals"`
		EventID  string   `json:"event_id,omitempty" doc:"As the header X-Event-Id of POST /actions/propose"`
	}
	memoryEvent struct {
		Kept    []pinned `json:"kept" nullable:"false"`
		EventID string   `json:"event_id,omitempty" doc:"As the header X-Event-Id of PUT /preferences"`
	}
	doneEvent struct {
		Claims int  `json:"claims" doc:"How many answers came"`
		Model  bool `json:"model" doc:"The language model's words are among them"`
	}
)

// namedEvent is a kind of event of a stream, and what its data is.
type namedEvent struct {
	name string
	data reflect.Type
}

// chatEvents are all events, in the order in which they come.
var chatEvents = []namedEvent{
	{"ready", reflect.TypeFor[readyEvent]()}, {"intent", reflect.TypeFor[intentEvent]()}, {"tool", reflect.TypeFor[toolEvent]()},
	{"answer", reflect.TypeFor[answerEvent]()}, {"filed", reflect.TypeFor[filedEvent]()}, {"memory", reflect.TypeFor[memoryEvent]()},
	{doneName, reflect.TypeFor[doneEvent]()}, {errorName, reflect.TypeFor[huma.ErrorModel]()},
}

func (s *server) routeChat(api huma.API) {
	tags := []string{"chat"}
	Route(api, huma.Operation{OperationID: "announceChat", Method: http.MethodPost, Path: "/chat", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Announce a question, to be run once by GET /chat/stream"}, s.announce)
	Route(api, streaming(huma.Operation{OperationID: "chat", Method: http.MethodGet, Path: "/chat/stream", Tags: tags,
		Summary: "Answer a question about mail", Description: chatDescription, Errors: []int{http.StatusNotFound, http.StatusConflict},
		Responses: map[string]*huma.Response{
			"200": {Description: "The events", Content: map[string]*huma.MediaType{eventStream: {Schema: eventsSchema(api, chatEvents)}}},
			"204": {Description: "The stream of Last-Event-ID has ended"},
		}}), s.converse)
}

// eventsSchema describes the events of a stream for the OpenAPI document.
func eventsSchema(api huma.API, events []namedEvent) *huma.Schema {
	list := make([]any, len(events))
	for i, e := range events {
		list[i] = &huma.Schema{Title: e.name, Type: huma.TypeObject, Required: []string{"event", "id", "data"}, Properties: map[string]*huma.Schema{
			"event": {Type: huma.TypeString, Enum: []any{e.name}},
			"id":    {Type: huma.TypeString, Description: "For the header Last-Event-ID"},
			"data":  api.OpenAPI().Components.Schemas.Schema(e.data, true, e.name),
		}}
	}
	return &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Extensions: map[string]any{"oneOf": list}}}
}

// announce keeps a question. The same Idempotency-Key gets the same id.
func (s *server) announce(ctx context.Context, in *announceInput) (*answered[announced], error) {
	request, err := json.Marshal(in.Body)
	if err != nil {
		return nil, err
	}
	id := newStreamID()
	return change(ctx, s, in.Key, http.StatusCreated, work[announced]{
		first: func(b *pgx.Batch, user string) { actions.KeepStream(b, user, id, request) },
		then:  func(context.Context, *transaction) (announced, error) { return announced{id}, nil },
	})
}

func newStreamID() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails: it ends the program instead
	return hex.EncodeToString(random[:])
}

var streamID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// conversation is one stream: a question, and by which id its effects are known.
type conversation struct {
	Question
	id    string
	again bool // it is a reconnect
	acts  bool // effects are allowed
}

// converse resolves what is asked, and streams the answer.
func (s *server) converse(ctx context.Context, in *chatInput) (*huma.StreamResponse, error) {
	if in.head { // net/http serves it as GET; whoever asks for a header means no effects, and uses no id up
		return &huma.StreamResponse{Body: func(ctx huma.Context) { ctx.SetHeader("Content-Type", eventStream) }}, nil
	}
	c, ended, err := s.begin(ctx, in)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		if ended {
			ctx.SetStatus(http.StatusNoContent) // tells a browser to reconnect no more
			return
		}
		r, w := humago.Unwrap(ctx)
		s.stream(ctx.Context(), w, r, c)
	}}, nil
}

// begin finds the question of a request, and tells whether the client has had its answer to the end.
func (s *server) begin(ctx context.Context, in *chatInput) (c *conversation, ended bool, err error) {
	c = &conversation{Question: in.Question}
	if in.LastEventID != "" {
		var last string
		c.again = true
		c.id, last, _ = strings.Cut(in.LastEventID, ".")
		if !streamID.MatchString(c.id) || in.Stream != "" && in.Stream != c.id {
			return nil, false, invalidField("header.Last-Event-ID", "expected the id of an event of this stream")
		}
		ended = last == endMark
	}
	if in.Stream != "" {
		err := s.resume(ctx, in, c)
		if err != nil || ended {
			return nil, ended, err
		}
	}
	if c.id == "" {
		c.id = newStreamID()
	}
	c.acts = mayAct(kindOf(ctx), in.Stream != "")
	if (c.Propose || c.Remember) && !c.acts {
		return nil, false, huma.Error403Forbidden("a browser's session may propose and remember only by the id that POST /chat returned")
	}
	return c, ended, nil
}

// resume reads the question of an announced stream. Only a reconnect may run one again.
func (s *server) resume(ctx context.Context, in *chatInput, c *conversation) error {
	if in.Q != "" || in.Mode != "" || in.Propose || in.Explain || in.Remember || in.Plain {
		return invalidField("query.stream", "the question was given with POST /chat: send no other parameter")
	}
	request, used, err := actions.UseStream(ctx, s.pool, auth.From(ctx).ID, in.Stream)
	switch {
	case errors.Is(err, actions.ErrNoStream):
		return notFound("stream")
	case err != nil:
		return err
	case used && !c.again:
		return huma.Error409Conflict("this stream has been run: POST /chat gives another")
	}
	c.id = in.Stream
	return json.Unmarshal(request, &c.Question)
}

// mayAct tells whether a stream may have effects. Who sends a bearer token means the request; a browser sends its cookie with any link
// that its user is led to, and so has to have announced the question, which only our own pages can.
func mayAct(kind string, announced bool) bool { return kind == auth.Bearer || announced }

type kindKey struct{}

// kindOf returns by which kind of secret the caller was authenticated.
func kindOf(ctx context.Context) string {
	kind, _ := ctx.Value(kindKey{}).(string)
	return kind
}

// kindOfRequest tells by which kind of secret a request is authenticated: internal/auth prefers the header.
func kindOfRequest(r *http.Request) string {
	if r.Header.Get("Authorization") != "" {
		return auth.Bearer
	}
	return auth.Session
}

// key returns the idempotency key of one effect of a stream. The person cannot have used it for anything else: it names the stream.
func (c *conversation) key(effect string) string { return fmt.Sprintf("chat %s %s", c.id, effect) }

// hash is that of the question, which the effects of a stream belong to.
func (c *conversation) hash() []byte {
	request, _ := json.Marshal(c.Question) // texts, booleans and a number
	sum := sha256.Sum256(request)
	return sum[:]
}
