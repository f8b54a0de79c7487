package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/chat"
	"github.com/applylens/applylens/internal/demoperson"
	"github.com/applylens/applylens/internal/dialer"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/proposals"
	"github.com/applylens/applylens/internal/ratelimit"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/turns"
	"github.com/applylens/applylens/internal/uploads"
)

// Config is what the API needs.
type Config struct {
	// Pool is the migrated database. Required.
	Pool *pgxpool.Pool

	// Search finds mail. Required.
	Search search.Engine

	// Log is for operators. Default: slog.Default().
	Log *slog.Logger

	// Registry holds the metrics, served at /metrics. Default: one of its own.
	Registry *prometheus.Registry

	// Wake is called after a commit that wrote events, so that the relay need not wait for its next poll. It must not
	// block. Default: nothing.
	Wake func()

	// Gate queues what lets the transaction of a change fail with outbox.ErrRestored, and the answer be 503, while a database that
	// was restored from a backup is being brought up to date from the log: as far as it concerns the person or, if person is
	// empty, anybody. Default: outbox.RefuseRestored.
	Gate func(b *pgx.Batch, person string)

	// ATS returns the job applications that belong to mails of a person, by mail id. Default: none belong to any.
	ATS proposals.ATS

	// Processors are lent to what computes in a handler. Default: some of its own.
	Processors *turns.Processors

	// Model rewords answers of the chat; ModelBudget is how often a person's questions may be given to it on a day. Default: no model.
	Model       chat.Model
	ModelBudget int

	// Accounts signs in to mail accounts. Default: none can be added.
	Accounts *accounts.Connector

	// Streams bounds the answers of the chat that are under way, of all persons. Default: 200.
	Streams int

	// Rate and Burst bound the requests per second of each person. Default: 1000 and 2000.
	Rate  float64
	Burst int

	// Hosts are the host names and addresses, without a port, that a request's Host may name. Others are answered 421.
	// Where a browser is signed in because it is on this machine, this keeps out pages of other sites that have given their
	// own names to this machine. Default: any.
	Hosts []string

	// Uploads keeps files of mail that persons upload. Default: none are taken.
	Uploads *uploads.Store

	// Demos makes demo persons. Default: nobody can look around as one.
	Demos *demoperson.Persons

	// Extend registers further operations with Route. Default: none.
	Extend []func(huma.API)

	// Page makes the web page, which asks the API in this process. Default: none.
	Page func(api http.Handler) (Page, error)
}

// Page is the web page. It authenticates by itself.
type Page interface {
	http.Handler

	// Route returns the pattern of the page that belongs to a request, as http.ServeMux has them; empty: none does.
	Route(r *http.Request) string
}

// Validate lists what is missing and sets the defaults.
func (c *Config) Validate() error {
	if c.Pool == nil {
		return errors.New("api: no Pool")
	}
	if c.Search == nil {
		return errors.New("api: no Search")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Wake == nil {
		c.Wake = func() {}
	}
	if c.Gate == nil {
		c.Gate = outbox.RefuseRestored
	}
	if c.Accounts == nil {
		c.Accounts = &accounts.Connector{Dialer: &dialer.Dialer{}}
	}
	if c.Streams <= 0 {
		c.Streams = 200
	}
	if c.Processors == nil {
		c.Processors = turns.New()
	}
	if c.Rate <= 0 {
		c.Rate = 1000
	}
	if c.Burst <= 0 {
		c.Burst = 2000
	}
	return nil
}

// computeFor is how long one request may compute.
const computeFor = 10 * time.Second

// server holds what the handlers share. It does not change after New, except for fields that have locks of their own.
type server struct {
	pool    *pgxpool.Pool
	users   *auth.Store
	engine  search.Engine
	log     *slog.Logger
	wake    func()
	gate    func(b *pgx.Batch, person string)
	chooser *proposals.Chooser
	page    Page
	hosts   []string
	mux     *http.ServeMux // the operations, without /api
	root    *http.ServeMux // paths that do not exist under /api
	limiter *ratelimit.Limiter

	requests *slots // all of a person
	ordinary *slots // those that run, without the costly ones
	costly   *slots

	uploads *uploads.Store      // nil: none are taken
	demos   *demoperson.Persons // nil: there are none
	chunks  *slots              // that a person sends at once

	streams    *slots // of the chat, each person's
	allStreams *slots // everybody's
	model      chat.Model
	budget     int
	accounts   *accounts.Connector
	beat       time.Duration // between signs of life of a stream
	writeFor   time.Duration // how long a client may take to read an event
	lookEvery  time.Duration // between looks at a stream's secret

	metrics *metrics
	source  source
	ready   readiness
	tryFor  time.Duration
	bodyFor time.Duration // how long a body may take to arrive
	compute time.Duration // how long a request may compute

	stallFor time.Duration // how long a client may take to read a piece of a streamed answer

	crossOrigin *http.CrossOriginProtection
	document    []byte
}

// New returns the handler of the whole API. It opens nothing and is safe for concurrent use.
func New(config Config) (http.Handler, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(config.Registry)
	if err != nil {
		return nil, fmt.Errorf("register API metrics: %w", err)
	}
	atOnce, atOnceCostly := shares(int(config.Pool.Config().MaxConns))
	s := &server{
		pool: config.Pool, users: auth.NewStore(config.Pool), engine: config.Search, log: config.Log,
		wake: config.Wake, gate: config.Gate, hosts: config.Hosts,
		chooser: &proposals.Chooser{Mails: proposals.Mails{Pool: config.Pool, ATS: config.ATS}, Processors: config.Processors},
		mux:     http.NewServeMux(), root: http.NewServeMux(),
		limiter: ratelimit.New(config.Rate, config.Burst), metrics: m,
		crossOrigin: http.NewCrossOriginProtection(),
		requests:    newSlots(mostRequests, 0, 0),
		ordinary:    newSlots(atOnce, mostRequests, slotPatience),
		costly:      newSlots(atOnceCostly, costlyWaiting, slotPatience),
		uploads:     config.Uploads, demos: config.Demos,
		chunks:     newSlots(mostChunks, 0, 0),
		streams:    newSlots(mostStreams, 0, 0),
		allStreams: newSlots(config.Streams, 0, 0),
		model:      config.Model, budget: config.ModelBudget, accounts: config.Accounts,
		beat: heartbeat, writeFor: eventTimeout, lookEvery: lookEvery,
		tryFor:   tryFor,
		stallFor: writeTimeout,
		bodyFor:  bodyTimeout,
		compute:  computeFor,
	}
	api := s.operations(config.Extend)
	if s.document, err = json.MarshalIndent(api.OpenAPI(), "", "  "); err != nil {
		return nil, fmt.Errorf("write OpenAPI document: %w", err)
	}
	s.mux.HandleFunc("GET /openapi.json", s.serveDocument)
	s.mountRoot(config.Registry)
	if config.Page != nil {
		if s.page, err = config.Page(s); err != nil {
			return nil, fmt.Errorf("make the web page: %w", err)
		}
	}
	return s, nil
}

// operations registers all operations on the mux.
func (s *server) operations(extend []func(huma.API)) huma.API {
	api := humago.New(s.mux, humaConfig())
	// Nothing is read of a request before its caller is known, and a slow body keeps nobody's slot.
	api.UseMiddleware(s.identify(api), s.admit(api), checkParameters(api), s.readBody(api), s.takeSlot(api))
	s.routePolicies(api)
	s.routeTries(api)
	s.routeActions(api)
	s.routePreferences(api)
	s.routeStats(api)
	s.routeSearch(api)
	s.routeMail(api)
	s.routeMoney(api)
	s.routeChat(api)
	s.routeUploads(api)
	s.routeDemo(api)
	s.routeAccounts(api)
	for _, register := range extend {
		register(api)
	}
	return api
}

// humaConfig is huma's default configuration without the fields and paths that the default adds.
func humaConfig() huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "ApplyLens",
				Version:     "1",
				Description: "Proposals on a person's mail, their decisions, and what was learned from them. Every path exists as written and under /api.",
			},
			Servers: []*huma.Server{{URL: "/"}, {URL: "/api"}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer":  {Type: "http", Scheme: "bearer", Description: "A token of `applylens token create`."},
					"session": {Type: "apiKey", In: "cookie", Name: auth.Cookie, Description: "The web page's session."},
				},
			},
			Security: []map[string][]string{{"bearer": {}}, {"session": {}}},
		},
		Formats:       huma.DefaultFormats,
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{seal},

		RejectUnknownQueryParameters: true,
	}
}

func (s *server) serveDocument(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.document) // the client may be gone
}
