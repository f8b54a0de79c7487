package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/rebuild"
	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/api"
	"github.com/applylens/applylens/internal/ats"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/embedded"
	"github.com/applylens/applylens/internal/mailsync"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	pgsearch "github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/turns"
	"github.com/applylens/applylens/producers/relay"
)

// localUser is the user of an embedded deployment. Its token has both roles.
const localUser = "local"

// renewLag is the greatest lag of a renewed version, in records per partition, when it becomes live.
const renewLag = 1000

type upCommand struct {
	Demo    bool    `help:"Import the sample mail, propose and decide, and show what was learned."`
	Listen  address `help:"Address to serve HTTP on. Default: ${usual_listen}, or a free port if it is in use." env:"LISTEN" placeholder:"HOST:PORT"`
	DataDir dataDir `help:"Data directory. Default: ${data_dir}." env:"DATA_DIR" placeholder:"DIR"`
	proposing
	AccountsCAFile string       `name:"accounts-ca-file" help:"PEM file of certificate authorities of mail servers, in addition to this machine's." env:"ACCOUNTS_CA_FILE" type:"path"`
	Model          config.Model `embed:"" group:"Language model:"`
	UserLabel      string       `name:"metrics-user-label" help:"The label user of the product counters: hash, plain or off." enum:"hash,plain,off" default:"hash" env:"METRICS_USER_LABEL"`
}

// Run starts everything in this process, reports when it is ready, and drains when the context ends.
func (c *upCommand) Run(ctx context.Context, p *process) (err error) {
	began := time.Now()
	dir, err := c.dataDir()
	if err != nil {
		return err
	}
	if !isLoopback(c.Listen.or(usualListen)) {
		return usageError{errors.New("--listen: \"up\" serves only this machine; to serve others, run the processes of docker-compose.yml")}
	}
	if err := c.Model.Validate(); err != nil {
		return usageError{err}
	}
	listener, err := c.Listen.listen("--listen", usualListen, p.log)
	if err != nil {
		return err
	}
	defer listener.Close()
	servers, err := embedded.Start(ctx, dir, p.log)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), config.ShutdownTimeout)
		defer cancel()
		err = errors.Join(err, servers.Stop(ctx))
	}()
	kafka := servers.Kafka
	database := config.Postgres{DatabaseURL: config.Secret(servers.DatabaseURL), DatabasePoolSize: 40}
	links, err := connect(ctx, &kafka, &database, "applylens up")
	if err != nil {
		return err
	}
	defer links.close()
	secret, err := keptSecret(filepath.Join(dir, relaySecretFile))
	if err != nil {
		return err
	}
	env := &environment{dir: dir, url: "http://" + listener.Addr().String(), servers: servers}
	if err := prepare(ctx, links, env); err != nil {
		return err
	}
	if err := env.write(); err != nil {
		return err
	}
	running, runCtx := errgroup.WithContext(ctx)
	played := make(chan struct{}) // the demonstration proposes itself, step by step
	connector, err := c.connector(dir)
	if err != nil {
		return err
	}
	if err := c.startParts(runCtx, running, p, links, env.dir, secret, connector, listener, played); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "ApplyLens is ready at %s after %s\n", env.url, time.Since(began).Round(10*time.Millisecond))
	if c.Demo {
		running.Go(func() error {
			defer close(played)
			return runDemo(runCtx, p, links, env)
		})
	} else {
		close(played)
		if err := env.printNext(runCtx, auth.NewStore(links.pool), p.stdout); err != nil {
			return err
		}
	}
	return running.Wait()
}

// dataDir returns --data-dir, or the usual directory.
func (c *upCommand) dataDir() (string, error) {
	if c.DataDir != "" {
		return string(c.DataDir), nil
	}
	dir, err := config.DataDir()
	if err != nil {
		return "", usageError{fmt.Errorf("set --data-dir: %w", err)}
	}
	return dir, nil
}

// prepare brings the schema and the topics up to date and gets the tokens of the users.
func prepare(ctx context.Context, links *links, env *environment) error {
	if err := postgres.Migrate(ctx, links.pool); err != nil {
		return err
	}
	if err := links.broker.EnsureTopics(ctx, broker.Layout{ReplicationFactor: 1}); err != nil {
		return err
	}
	users := auth.NewStore(links.pool)
	if _, err := users.CreateUser(ctx, auth.User{ID: localUser}); err != nil {
		return err
	}
	var err error
	if env.token, err = keptToken(ctx, users, localUser, filepath.Join(env.dir, "token"), auth.Owner, auth.Operator); err != nil {
		return err
	}
	env.demoToken, err = validToken(ctx, users, demoUser, demoTokenPath(env.dir))
	return err
}

// startParts starts the API, the relay, all groups and, once the demonstration was played, the proposer.
func (c *upCommand) startParts(ctx context.Context, running *errgroup.Group, p *process, links *links, dir string, secret []byte, connector *accounts.Connector, listener net.Listener, played <-chan struct{}) error {
	registry := newRegistry()
	users, err := newUserLabel(ctx, c.UserLabel, links.pool, p.log)
	if err != nil {
		return err
	}
	model, err := newModel(&c.Model)
	if err != nil {
		return usageError{err}
	}
	uploading := uploading{UploadsDir: filepath.Join(dir, "uploads"), DemoPersons: upDemoPersons}
	store, demos, err := uploading.open(links, p.log)
	if err != nil {
		return err
	}
	signal, processors := outbox.NewSignal(), turns.New()
	handler, err := api.New(api.Config{
		Pool: links.pool, Search: pgsearch.New(links.pool), Log: p.log, Registry: registry, Wake: signal.Set, ATS: ats.OfMails(links.pool), Processors: processors,
		Hosts: ownHosts(listener.Addr()), Extend: operations(links), Page: webPage(links.pool, p.log, config.OIDC{}),
		Model: model, ModelBudget: c.Model.LLMBudget, Uploads: store, Demos: demos, Accounts: connector,
	})
	if err != nil {
		return err
	}
	loop := consumers.NewMetrics(registry)
	for _, group := range newGroups(registry, users) {
		running.Go(func() error {
			return foldGroup(ctx, consumers.Config{Group: group, Broker: links.broker, Pool: links.pool, Log: p.log, Metrics: loop, Owner: owner()})
		})
	}
	running.Go(func() error {
		return relay.Run(ctx, relay.Config{Pool: links.pool, Conn: links.broker, Log: p.log, Registry: registry, Signal: signal, Secret: secret})
	})
	running.Go(func() error {
		return mailsync.Run(ctx, mailsync.Config{Pool: links.pool, Conn: links.broker, Connector: connector, Holder: owner(), Log: p.log, Registry: registry, Wake: signal.Set})
	})
	running.Go(func() error {
		select {
		case <-played:
			return c.proposing.run(ctx, links.pool, processors, p.log, registry, signal.Set)
		case <-ctx.Done():
			return nil
		}
	})
	uploading.start(ctx, running, links, p.log, registry, store, demos)
	running.Go(func() error { return api.Serve(ctx, listener, handler, p.log) })
	return watchLag(ctx, running, links, registry)
}

// connector returns what signs in to accounts, which may be on this machine: its key is kept in the data directory.
func (c *upCommand) connector(dir string) (*accounts.Connector, error) {
	keys, err := keptKeys(filepath.Join(dir, secretsKeyFile))
	if err != nil {
		return nil, err
	}
	connector, err := newConnector(&config.Accounts{PrivateHosts: true, AccountsCAFile: c.AccountsCAFile})
	if err != nil {
		return nil, usageError{err}
	}
	connector.Keys = keys
	return connector, nil
}

// ownHosts are the names under which a browser on this machine reaches an address.
func ownHosts(listen net.Addr) []string {
	hosts := api.LoopbackHosts()
	if tcp, ok := listen.(*net.TCPAddr); ok {
		hosts = append(hosts, tcp.IP.String())
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// foldGroup folds a group until ctx ends. If another fold rule folded the live version, it first builds a new version. If
// that fails, it logs the error and the group halts, for an operator to fix.
func foldGroup(ctx context.Context, cfg consumers.Config) error {
	if err := rebuild.Renew(ctx, cfg, renewLag, "up"); err != nil && ctx.Err() == nil {
		cfg.Log.Error("version not renewed", "group", cfg.Group.Name, "error", err)
	}
	return consumers.Run(ctx, cfg)
}
