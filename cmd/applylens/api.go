package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/api"
	"github.com/applylens/applylens/internal/ats"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/chat"
	"github.com/applylens/applylens/internal/chat/llm"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/search/indexer"
	pgsearch "github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/turns"
)

// apiCommand serves the HTTP API in a process of its own, and proposes. The relay that it wakes may run in another process.
type apiCommand struct {
	Kafka         config.Kafka         `embed:"" group:"Connections:"`
	Postgres      config.Postgres      `embed:"" group:"Connections:"`
	Elasticsearch config.Elasticsearch `embed:"" group:"Connections:"`
	OIDC          config.OIDC          `embed:"" group:"Sign-in:"`
	Listen        address              `help:"Address to serve HTTP on. Default: ${usual_listen}, or a free port if it is in use." env:"LISTEN" placeholder:"HOST:PORT"`
	proposing
	uploading
	Accounts     config.Accounts `embed:"" group:"Mail accounts:"`
	Model        config.Model    `embed:"" group:"Language model:"`
	ChatStreams  int             `help:"Most answers of the chat under way at once, of all persons." env:"CHAT_STREAMS" default:"200"`
	AllowedHosts []string        `help:"Host names under which the API answers, without a port; default: any." env:"ALLOWED_HOSTS" placeholder:"HOST,..."`
}

// Run serves until the context ends, then drains.
func (c *apiCommand) Run(ctx context.Context, p *process) error {
	if err := c.OIDC.Validate(); err != nil {
		return usageError{err}
	}
	links, err := connect(ctx, &c.Kafka, &c.Postgres, "applylens api")
	if err != nil {
		return err
	}
	defer links.close()
	if err := requireTokens(ctx, p, links.pool, c.Listen.or(usualListen)); err != nil {
		return err
	}
	engine, err := newEngine(&c.Elasticsearch, links.pool)
	if err != nil {
		return usageError{err}
	}
	model, err := newModel(&c.Model)
	if err != nil {
		return usageError{err}
	}
	store, demos, err := c.uploading.open(links, p.log)
	if err != nil {
		return usageError{err}
	}
	connector, err := newConnector(&c.Accounts)
	if err != nil {
		return usageError{err}
	}
	waker, registry, processors := &outbox.Waker{Pool: links.pool}, newRegistry(), turns.New()
	handler, err := api.New(api.Config{
		Pool: links.pool, Search: engine, Log: p.log, Registry: registry, Wake: waker.Wake, ATS: ats.OfMails(links.pool), Processors: processors,
		Hosts: c.AllowedHosts, Extend: operations(links), Page: webPage(links.pool, p.log, c.OIDC),
		Model: model, ModelBudget: c.Model.LLMBudget, Streams: c.ChatStreams, Uploads: store, Demos: demos, Accounts: connector,
	})
	if err != nil {
		return err
	}
	listener, err := c.Listen.listen("--listen", usualListen, p.log)
	if err != nil {
		return err
	}
	p.log.Info("serving the API", "address", listener.Addr().String())
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return c.proposing.run(ctx, links.pool, processors, p.log, registry, waker.Wake) })
	c.uploading.start(ctx, running, links, p.log, registry, store, demos)
	running.Go(func() error { return api.Serve(ctx, listener, handler, p.log) })
	return running.Wait()
}

// newEngine returns an engine on Elasticsearch if it is configured, and one on PostgreSQL otherwise.
func newEngine(settings *config.Elasticsearch, pool *pgxpool.Pool) (search.Engine, error) {
	if !settings.Given() {
		return pgsearch.New(pool), nil
	}
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	client, err := elastic.Open(*settings)
	if err != nil {
		return nil, err
	}
	settled := func(ctx context.Context, userID string, asked time.Time) (bool, error) {
		return indexer.Settled(ctx, pool, userID, asked, time.Now())
	}
	return elastic.NewEngine(client, settled), nil
}

// newModel returns the language model that is configured, nil for none.
func newModel(settings *config.Model) (chat.Model, error) {
	if err := settings.Validate(); err != nil || !settings.Given() {
		return nil, err
	}
	return llm.New(llm.Config{
		BaseURL: settings.LLMBaseURL, Model: settings.LLMModel, Key: string(settings.LLMAPIKey),
		Timeout: settings.LLMTimeout, FirstTimeout: settings.LLMFirstTimeout,
	})
}

// requireTokens refuses to listen on an address that other machines can reach while there is no token: somebody probably
// forgot to create one. While the database is unavailable it waits.
func requireTokens(ctx context.Context, p *process, pool *pgxpool.Pool, address string) error {
	if isLoopback(address) {
		return nil
	}
	users := auth.NewStore(pool)
	return retry.Until(ctx, databaseEvery, databaseEvery, func(int) error {
		configured, err := users.Configured(ctx)
		switch {
		case ctx.Err() != nil || err == nil && configured:
			return err
		case err == nil:
			return retry.Stop(usageError{fmt.Errorf("--listen %s is reachable from other machines, but there is no token yet: "+
				"create one with \"applylens token create --user ID\", or listen on 127.0.0.1", address)})
		case !postgres.Classify(err).Passes():
			return retry.Stop(err)
		}
		p.log.Warn("waiting for the database before listening", "error", err)
		return err
	})
}

// isLoopback reports whether only this machine can reach an address. Host names other than localhost count as reachable.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
