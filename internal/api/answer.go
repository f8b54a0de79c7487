package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/internal/chat"
	"github.com/applylens/applylens/internal/search"
)

// The bounds of what one question looks at.
const (
	foundMails    = 100 // and up to search.MaxLimit to count them
	answeredMails = 20  // whose texts are read
	explained     = 5   // proposals, and mails
)

// Whose words a piece of an answer is.
const (
	byRules = "rules"
	byMail  = "mail"
	byModel = "model"
	byNote  = "note"
)

// chatReply is an answer that is being made. It belongs to one goroutine.
type chatReply struct {
	*server
	*conversation
	send    func(event string, data any) error
	intent  chat.Intent
	query   string // with the window of time
	wider   bool
	found   []search.Hit
	foundBy string      // the query that was run
	mails   []chat.Mail // the first of them
	why     []chat.Claim
	quotes  []chat.Claim
	would   map[string]int // how many actions of each kind the policies would propose
	keep    []pinned
	vague   []string // senders of whom the person may mean one
	claims  int
	worded  bool // by the model
}

// stream writes the answer to a question, and counts what became of it.
func (s *server) stream(ctx context.Context, w http.ResponseWriter, request *http.Request, c *conversation) {
	s.metrics.chat.open.Inc()
	defer s.metrics.chat.open.Dec()
	ctx, stop := s.whileSignedIn(ctx, request)
	defer stop()
	f := &feed{writer: w, control: http.NewResponseController(w), id: c.id, beat: s.beat, writeFor: s.writeFor}
	r := &chatReply{server: s, conversation: c, intent: chat.Intent{Kind: chat.Unknown}}
	ctx = context.WithValue(ctx, requestHashKey{}, c.hash())
	err := f.begin()
	if err == nil {
		err = f.run(ctx, r.answer)
	}
	outcome := "done"
	switch {
	case errors.Is(err, errClientGone), err != nil && errors.Is(context.Cause(ctx), context.Canceled):
		outcome = "gone"
	case err != nil && errors.Is(context.Cause(ctx), errSignedOut):
		outcome = "signed_out"
		_ = f.write(message{errorName, problemModel(ctx, errUnauthenticated())})
	case err != nil:
		outcome = "failed"
		_ = f.write(message{errorName, problemModel(ctx, err)}) // the client may be gone
	}
	s.metrics.chat.streams.WithLabelValues(string(r.intent.Kind), outcome).Inc()
}

// problemModel returns the problem that tells a client of an error, as it would be the body of an answer.
func problemModel(ctx context.Context, err error) *huma.ErrorModel {
	var model *huma.ErrorModel
	if !errors.As(problemOf(ctx, err), &model) {
		model = &huma.ErrorModel{Status: http.StatusInternalServerError, Title: http.StatusText(http.StatusInternalServerError)}
	}
	sealed := *model
	_, _ = seal(nil, "", &sealed) // it never fails
	return &sealed
}

// answer sends all events of the stream in their order.
func (r *chatReply) answer(ctx context.Context, send func(string, any) error) error {
	r.send = send
	if err := r.send("ready", readyEvent{r.id, r.again}); err != nil {
		return err
	}
	mode, window := r.understand(time.Now())
	if err := r.send("intent", intentEvent{string(r.intent.Kind), r.intent.Language, r.query, mode, window}); err != nil {
		return err
	}
	if r.intent.Looks() {
		if err := r.costing(ctx, func(ctx context.Context) error { return r.look(ctx, mode) }); err != nil {
			return err
		}
	}
	tool := "none"
	if r.intent.Looks() {
		tool = "search"
	}
	if err := r.send("tool", toolEvent{tool, r.foundBy, len(r.found), len(r.found) == r.limit(), r.wider, total(r.would)}); err != nil {
		return err
	}
	if err := r.tell(ctx); err != nil {
		return err
	}
	if err := r.file(ctx); err != nil {
		return err
	}
	if err := r.remember(ctx); err != nil {
		return err
	}
	return r.send(doneName, doneEvent{r.claims, r.worded})
}

// understand reads the question, and returns the mode of the search and the window of days that were added.
func (r *chatReply) understand(now time.Time) (mode string, window int) {
	r.intent = chat.Read(r.Q, now)
	mode = r.Mode
	if mode == "" {
		mode = "off"
		if r.intent.Kind == chat.Money || r.intent.Kind == chat.Networking {
			mode = string(r.intent.Kind)
		}
	}
	if !r.intent.Looks() {
		return mode, 0
	}
	r.query = r.intent.Query
	switch r.intent.Kind {
	case chat.Status, chat.Explain, chat.Remember: // whatever its age, it counts today
	default:
		if !r.intent.Timed {
			window = r.WindowDays
			r.query = r.within(r.query)
		}
	}
	return mode, window
}

func (r *chatReply) within(query string) string {
	return chat.Within(query, strconv.Itoa(r.WindowDays))
}

func (r *chatReply) limit() int {
	if r.intent.Kind == chat.Count {
		return search.MaxLimit
	}
	return foundMails
}

// say sends pieces of the answer.
func (r *chatReply) say(by string, claims ...chat.Claim) error {
	for _, c := range claims {
		if err := r.sayOne(answerEvent{Text: c.Text, MailIDs: notNil(c.Mails), By: by}); err != nil {
			return err
		}
	}
	return nil
}

func (r *chatReply) sayOne(e answerEvent) error {
	r.claims++
	return r.send("answer", e)
}

// tell sends the answer.
func (r *chatReply) tell(ctx context.Context) error {
	kind := r.intent.Kind
	if !r.intent.Looks() {
		return r.say(byRules, chat.Helps(kind)...)
	}
	if kind == chat.Remember {
		return r.confirm()
	}
	if err := r.say(byRules, chat.Found(r.mails, len(r.found), len(r.found) == r.limit())); err != nil || len(r.found) == 0 {
		return err
	}
	if r.would != nil && (kind == chat.Propose || r.Propose) {
		if err := r.say(byRules, chat.Would(r.would, idsOf(r.mails))); err != nil {
			return err
		}
	}
	if err := r.tellMail(ctx); err != nil {
		return err
	}
	return r.say(byRules, r.why...)
}

func idsOf(mails []chat.Mail) []string {
	ids := make([]string, len(mails))
	for i := range mails {
		ids[i] = mails[i].ID
	}
	return ids
}

// confirm tells what would be kept, or was.
func (r *chatReply) confirm() error {
	text := make([]chat.Preference, len(r.keep))
	for i, k := range r.keep {
		text[i] = chat.Preference{Feature: k.Feature, Weight: k.Weight}
	}
	e := answerEvent{Text: chat.Keeps(text, r.vague), MailIDs: notNil(idsOf(r.mails)), By: byRules}
	if !r.Remember {
		e.WouldKeep = r.keep
	}
	return r.sayOne(e)
}

// file proposes actions, as POST /actions/propose with the same query does, once for each stream. A reconnect asks for what the first
// run did even if there is no such mail any more.
func (r *chatReply) file(ctx context.Context) error {
	if !r.Propose {
		return nil
	}
	filed := filedEvent{Actions: []string{}}
	if r.intent.Acts() && (r.again || !r.wider && len(r.found) > 0) {
		err := r.costing(ctx, func(ctx context.Context) error {
			done, err := r.propose(ctx, &proposeInput{Idempotent{r.key("propose")}, &proposeBody{Query: r.query, Limit: foundMails}})
			if err != nil {
				return err
			}
			for _, a := range done.Body {
				filed.Actions = append(filed.Actions, a.ID)
			}
			filed.Proposed, filed.EventID = len(done.Body), done.EventID
			return nil
		})
		if err != nil {
			return err
		}
	}
	return r.send("filed", filed)
}

// remember keeps what the rules found that the person likes or not, as PUT /preferences does, once for each stream. A reconnect asks
// for what the first run kept even if the mail names its sender no more.
func (r *chatReply) remember(ctx context.Context) error {
	if !r.Remember {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	memory := memoryEvent{Kept: []pinned{}}
	if len(r.keep) > 0 || r.again && r.intent.Kind == chat.Remember {
		done, err := r.pinAll(bounded, r.key("keep"), notNil(r.keep))
		if err != nil {
			return err
		}
		memory = memoryEvent{done.Body, done.EventID}
	}
	return r.send("memory", memory)
}

func total(counts map[string]int) int {
	sum := 0
	for _, count := range counts {
		sum += count
	}
	return sum
}
